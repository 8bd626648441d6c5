"""Short addresses: made by the API, followed by browsers."""

from __future__ import annotations

import re

import pytest

from tests.hexhub.hubs import TestHub

LONG = "https://hex.pm/diffs?diffs[]=acorn:1.0.0:1.1.0&diffs[]=oak:1.0.0:2.0.0"


async def test_a_short_address_leads_to_the_long_one(hub: TestHub) -> None:
    made = await hub.nobody.post("/api/short_url", {"url": LONG})

    assert made.status == 201
    assert set(made.value) == {"url"}
    path = made.value["url"].removeprefix(hub.hub.url)
    assert re.fullmatch(r"/l/[1-9A-HJ-NP-Za-km-z]{5}", path)
    followed = await hub.nobody.get(path)
    assert followed.status == 301
    assert followed.headers["Location"] == LONG
    assert (await hub.nobody.post("/api/short_url", {"url": LONG})).value == made.value


@pytest.mark.parametrize(
    "url",
    [
        "https://preview.hex.pm/x",
        "http://acorn.hexdocs.pm/a.html#top",
        "https://hexdocs.pm/",
        "https://forest.hexorgs.pm",
    ],
)
async def test_addresses_of_hex_are_taken(hub: TestHub, url: str) -> None:
    assert (await hub.nobody.post("/api/short_url", {"url": url})).status == 201


async def test_our_own_addresses_are_taken(hub: TestHub) -> None:
    answer = await hub.nobody.post("/api/short_url", {"url": f"{hub.hub.url}/packages/acorn"})
    assert answer.status == 201


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (None, "can't be blank"),
        ("", "can't be blank"),
        (7, "expected type string"),
        ("ftp://hex.pm/x", "must use http or https scheme"),
        ("javascript:alert(1)", "must use http or https scheme"),
        ("https:///x", "must include a host"),
        ("https://evil.example/", "domain must match"),
        ("https://hex.pm.evil.example/", "domain must match"),
        ("https://evilhex.pm/", "domain must match"),
        ("https://hexdocs.pm/acorn", "domain must match"),
        ("https://hex.pm@evil.example/", "is invalid"),
        ("https://hex.pm:x/", "is invalid"),
        ("https://hex.pm\\@evil.example/", "is invalid"),
        ("https://hex.pm/\r\nSet-Cookie: a=b", "is invalid"),
        ("https://hex.pm:444/", "domain must match"),
    ],
)
async def test_other_addresses_are_refused(hub: TestHub, url: object, text: str) -> None:
    answer = await hub.nobody.post("/api/short_url", {"url": url})

    assert answer.status == 422
    assert answer.errors["url"].startswith(text)


async def test_an_unknown_code_leads_nowhere(hub: TestHub) -> None:
    assert (await hub.nobody.get("/l/abcde")).status == 404
