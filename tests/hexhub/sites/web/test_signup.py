"""Making an account oneself, where that is allowed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hexhub.schema import Mail
from tests.hexhub import hubs
from tests.hexhub.browser import Browser
from tests.hexhub.hubs import TestHub

PASSWORD = "a good password"


@pytest.fixture
async def open_hub(tmp_path: Path) -> AsyncIterator[TestHub]:
    """A hub where anybody may make an account, and that can send mail."""
    async with hubs.running(
        tmp_path, registration="open", smtp_url="smtp://127.0.0.1:9"
    ) as running:
        yield running


async def test_it_is_closed_unless_the_operator_opens_it(hub: TestHub) -> None:
    browser = Browser(hub)
    assert "An administrator of this hub makes your account" in (await browser.get("/login")).text
    assert (await browser.get("/signup")).status == 404
    token = (await browser.get("/login")).form("/login").fields["csrf"]
    fields = {"csrf": token, "username": "mara", "email": "m@example.org", "password": PASSWORD}
    assert (await browser.post("/signup", fields)).status == 404


async def test_whoever_makes_an_account_is_signed_in_and_gets_a_link(open_hub: TestHub) -> None:
    browser = Browser(open_hub)
    done = await browser.send(
        "/signup", "/signup", username="Mara", email="mara@example.org", password=PASSWORD
    )
    assert done.status == 303
    assert "mara" in (await browser.get("/dashboard")).text
    with open_hub.hub.store.view() as view:
        assert [mail.template for mail in view.scan(Mail)] == ["email_verification"]


@pytest.mark.parametrize(
    "fields",
    [
        {"username": "me", "email": "mara@example.org", "password": PASSWORD},
        {"username": "mara", "email": "a@b.c\r\nBcc: d@e.f", "password": PASSWORD},
        {"username": "mara", "email": "mara@example.org", "password": "short"},
        {"username": "mara\r\nX: y", "email": "mara@example.org", "password": PASSWORD},
    ],
)
async def test_what_is_wrong_is_said_at_its_field(
    open_hub: TestHub, fields: dict[str, str]
) -> None:
    page = await Browser(open_hub).send("/signup", "/signup", **fields)
    assert page.status == 422
    assert 'class="wrong"' in page.text
