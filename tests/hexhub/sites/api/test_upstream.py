"""The API's answers from the upstream."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from hexhub.domain import upstream_names
from hexhub.domain.audit import OPERATOR
from tests.hexhub.hubs import ERLANG
from tests.hexhub.mirrors import Pair
from tests.hexhub.packages import package


@pytest.mark.parametrize("path", ["packages/pine", "packages/pine/releases/1.0.0"])
async def test_a_package_of_the_upstream_is_shown_marked_and_kept(pair: Pair, path: str) -> None:
    await pair.publish("pine", "1.0.0")
    theirs = (await pair.upstream.nobody.get(f"/api/{path}")).value
    first = await pair.get(f"/api/{path}")
    assert (first.status, first.value) == (200, theirs)
    assert first.headers["X-HexHub-Origin"] == "upstream"
    pair.between.fault = "reset"
    pair.hub.clock.ahead = timedelta(days=2)
    kept = await pair.get(f"/api/{path}")
    assert (kept.value, kept.headers["X-Cache"]) == (theirs, "STALE")


async def test_it_speaks_erlang_and_answers_conditions(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    first = await pair.get("/api/packages/pine", accept=ERLANG)
    assert first.value["name"] == "pine"
    again = await pair.get("/api/packages/pine", accept=ERLANG, if_none_match=first.headers["ETag"])
    assert again.status == 304


async def test_a_package_of_ours_is_ours(pair: Pair) -> None:
    await pair.mara.publish(package("mine"))
    answer = await pair.get("/api/packages/mine")
    assert "X-HexHub-Origin" not in answer.headers
    assert (await pair.get("/api/packages/mine/releases/9.0.0")).status == 404
    assert not [path for path in pair.between.requests if "mine" in path]


async def test_a_name_that_the_upstream_does_not_list_is_not_asked_for(pair: Pair) -> None:
    assert (await pair.get("/api/packages/nothing_at_all")).status == 404
    assert set(pair.between.requests) == {"/names"}


async def test_an_upstream_that_cannot_be_reached_is_not_a_missing_package(pair: Pair) -> None:
    pair.between.fault = "503"
    assert (await pair.get("/api/packages/pine")).status == 503


async def test_a_carried_list_of_names_has_the_last_word_where_nobody_is_ever_asked(
    pair: Pair,
) -> None:
    """A publisher's client asks this way whether a name is new, and needs a 404 to go on."""
    await pair.publish("pine", "1.0.0")
    assert (await pair.get("/names")).status == 200
    pair.hub.clock.ahead = timedelta(days=9)
    pair.between.fault = "reset"
    assert (await pair.get("/api/packages/oak")).status == 503
    upstream = pair.hub.hub.mirror.upstream  # type: ignore[union-attr]
    upstream.settings = replace(upstream.settings, offline=True)
    for path in ("/api/packages/oak", "/api/repos/hexpm/packages/oak"):
        assert (await pair.get(path)).status == 404
    assert (await pair.get("/api/packages/pine")).status == 503


async def test_organizations_are_never_looked_for_upstream(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    await pair.hub.organization("acme", pair.mara)
    assert (await pair.mara.get("/api/repos/acme/packages/pine")).status == 404
    assert pair.between.total == 0


async def test_search_shows_ours_first_and_the_upstreams_after(pair: Pair) -> None:
    await pair.mara.publish(package("zz_pine"))
    await pair.publish("pine_a", "1.0.0")
    await pair.publish("pine_b", "1.0.0")
    found = await pair.get("/api/packages?search=pine")
    assert [each["name"] for each in found.value] == ["zz_pine", "pine_a", "pine_b"]
    pages = [
        [each["name"] for each in (await pair.get(f"/api/packages?search=pine&{page}")).value]
        for page in ("per_page=2", "per_page=2&page=2", "per_page=2&page=3")
    ]
    assert pages == [["zz_pine", "pine_a"], ["pine_b"], []]


async def test_search_goes_on_without_the_upstream(pair: Pair) -> None:
    await pair.mara.publish(package("pine_mine"))
    pair.between.fault = "503"
    found = await pair.get("/api/packages?search=pine")
    assert [each["name"] for each in found.value] == ["pine_mine"]


async def test_a_search_for_a_private_or_reserved_name_is_not_told(pair: Pair) -> None:
    hub = pair.hub.hub
    await hub.store.transact(upstream_names.reserve, OPERATOR, "acme_*", hub.now())
    await pair.hub.organization("acme", pair.mara)
    await pair.mara.publish(package("vault"), repository="acme")
    asked = pair.between.requests["/api/packages"]
    for text in ("acme_core", "vault", "my+vault+thing"):
        assert (await pair.get(f"/api/packages?search={text}")).status == 200
    assert pair.between.requests["/api/packages"] == asked == 0


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("download", "/repo/tarballs/pine-1.0.0.tar"),
        ("docs/download", "/repo/docs/pine-1.0.0.tar.gz"),
    ],
)
async def test_downloads_by_the_api_lead_to_the_repository(
    pair: Pair, path: str, target: str
) -> None:
    body = await pair.publish("pine", "1.0.0")
    answer = await pair.get(f"/api/packages/pine/releases/1.0.0/{path}")
    assert answer.status == 302
    assert answer.headers["Location"] == pair.hub.hub.url + target
    if path == "download":
        assert (await pair.get(target)).body == body
