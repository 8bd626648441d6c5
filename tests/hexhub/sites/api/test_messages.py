"""What the API has clients print."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hexhub.domain import notices
from hexhub.domain.audit import OPERATOR
from hexhub.errors import Invalid
from tests.hexhub.hubs import Person, TestHub


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
