"""What the API has clients print."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from hexhub.domain import notices
from hexhub.domain.audit import OPERATOR
from hexhub.errors import Invalid
from tests.hexhub import hubs
from tests.hexhub.hubs import Answer, Person, TestHub


async def test_a_key_that_expires_within_a_week_says_so(hub: TestHub, mara: Person) -> None:
    at = hub.hub.now() + timedelta(days=8)
    soon = await hub.key("mara", "api", revoke_at=at)
    assert "X-Hex-Message" not in (await soon.get("/api/users/me")).headers

    hub.clock.ahead += timedelta(days=2)

    message = (await soon.get("/api/users/me")).headers["X-Hex-Message"]
    assert message == f'"the API key test-2 expires on {at:%Y-%m-%d at %H:%M} UTC";level=warn'
    assert "X-Hex-Message" not in (await mara.get("/api/users/me")).headers


async def test_a_notice_comes_with_every_answer_until_it_is_cleared(hub: TestHub) -> None:
    store, now = hub.hub.store, hub.hub.now()
    await store.transact(notices.put, OPERATOR, "down at 18:00", "fatal", now)

    for path in ("/api", "/api/packages", "/api/packages/nothing", "/api/users/me"):
        answer = await hub.nobody.get(path)
        assert answer.headers["X-Hex-Message"] == '"down at 18:00";level=fatal', path

    await store.transact(notices.clear, OPERATOR, now)
    assert "X-Hex-Message" not in (await hub.nobody.get("/api")).headers


@pytest.mark.parametrize("text", ["", None, 'say "x"', "two\nlines", "x" * 301, "käse", "a\\b"])
async def test_a_notice_that_a_terminal_cannot_show_is_refused(hub: TestHub, text: object) -> None:
    with pytest.raises(Invalid):
        await hub.hub.store.transact(notices.put, OPERATOR, text, "warn", hub.hub.now())


PASSWORD = "a good password"


def advised(answer: Answer, words: str) -> bool:
    """Whether a client prints, as a warning, to use this instead."""
    text, _, level = answer.headers["X-Hex-Message"].rpartition(";")
    assert level == "level=warn"
    assert (text[0], text[-1], text.count('"')) == ('"', '"', 2)
    return "is retired; " in text and words in text


@pytest.mark.parametrize("prefix", ["/api", ""])
async def test_a_retired_account_action_says_what_to_use_instead(
    hub: TestHub, mara: Person, prefix: str
) -> None:
    new = {"username": "oak", "email": "oak@example.org", "password": PASSWORD}

    reset = await hub.nobody.post(f"{prefix}/users/mara/reset")
    tried = await mara.get(f"{prefix}/users/mara/test")
    registered = await hub.nobody.post(f"{prefix}/users", new)

    assert (reset.status, tried.status, registered.status) == (204, 200, 403)
    assert advised(reset, f"go to {hub.hub.url}/password/reset")
    assert advised(tried, "mix hex.user whoami")
    assert advised(registered, "ask an administrator")


async def test_a_password_is_the_retired_way_to_a_key(hub: TestHub) -> None:
    oak = await hub.user("oak", password=PASSWORD)
    await hub.organization("forest", oak)
    basic = hub.basic("oak", PASSWORD)

    for path in ("/api/keys", "/api/orgs/forest/keys"):
        made = await basic.post(path, {"name": "laptop"})
        assert made.status == 201, path
        assert advised(made, "mix hex.user auth"), path
        by_key = await oak.post(path, {"name": "laptop"})
        assert by_key.status == 201, path
        assert "X-Hex-Message" not in by_key.headers, path
    assert "X-Hex-Message" not in (await basic.get("/api/keys")).headers


async def test_where_anyone_may_register_that_is_not_retired(tmp_path: Path) -> None:
    async with hubs.running(tmp_path, registration="open") as hub:
        new = {"username": "oak", "email": "oak@example.org", "password": PASSWORD}
        answer = await hub.nobody.post("/api/users", new)
    assert answer.status == 201
    assert "X-Hex-Message" not in answer.headers


async def test_what_is_retired_comes_last(hub: TestHub, mara: Person) -> None:
    soon = await hub.key("mara", "api", revoke_at=hub.hub.now() + timedelta(days=1))
    expiring = await soon.get("/api/users/mara/test")
    assert "expires on" in expiring.headers["X-Hex-Message"]

    await hub.hub.store.transact(notices.put, OPERATOR, "down", "fatal", hub.hub.now())
    noticed = await mara.get("/api/users/mara/test")
    assert noticed.headers["X-Hex-Message"] == '"down";level=fatal'
