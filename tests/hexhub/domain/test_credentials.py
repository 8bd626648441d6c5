"""What ends with an account, a membership, or time (design §4.3)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cluster import Transaction
from hexhub import expiry
from hexhub.domain import organizations, tokens, users
from hexhub.domain.audit import OPERATOR
from hexhub.errors import Invalid
from hexhub.schema import (
    AuditRecord,
    AuthorizationCode,
    DeviceCode,
    FormerUser,
    Key,
    Link,
    Session,
    Token,
)
from tests.hexhub.grants import approve, bearer, device, let_in, poll, refresh
from tests.hexhub.hubs import Person, TestHub


async def _leave(hub: TestHub, name: str, organization: str) -> None:
    await hub.hub.store.transact(
        organizations.remove_member, OPERATOR, organization, name, hub.hub.now()
    )


async def _join(hub: TestHub, name: str, organization: str) -> None:
    await hub.hub.store.transact(
        organizations.add_member, OPERATOR, organization, name, "read", hub.hub.now()
    )


async def test_a_key_from_before_does_not_come_back_with_the_membership(
    hub: TestHub, mara: Person
) -> None:
    await hub.user("nils")
    await hub.organization("forest", mara, nils="read")
    only = await hub.key("nils", "repository:forest")
    both = await hub.key("nils", "repository:forest", "api:read")
    client = bearer(hub, "nils", await let_in(hub, "nils"))
    for person in (only, both, client):
        assert (await person.get("/repos/forest/names")).status == 200
    await _leave(hub, "nils", "forest")
    for person in (only, both, client):
        assert (await person.get("/repos/forest/names")).status == 404
    await _join(hub, "nils", "forest")
    for person in (only, both, client):
        assert (await person.get("/repos/forest/names")).status == 404
    assert (await only.get("/api/users/me")).value["message"] == "API key revoked"
    assert (await both.get("/api/users/me")).status == 200
    assert (await client.get("/api/users/me")).status == 200


async def test_a_membership_that_came_back_counts_from_the_next_refresh(
    hub: TestHub, mara: Person
) -> None:
    await hub.user("nils")
    await hub.organization("forest", mara, nils="read")
    first = await let_in(hub, "nils")
    await _leave(hub, "nils", "forest")
    await _join(hub, "nils", "forest")
    fresh = (await refresh(hub, first["refresh_token"])).value
    assert (await bearer(hub, "nils", fresh).get("/repos/forest/names")).status == 200


async def test_leaving_one_organization_leaves_the_others(hub: TestHub, mara: Person) -> None:
    await hub.user("nils")
    await hub.organization("forest", mara, nils="read")
    await hub.organization("meadow", mara, nils="read")
    key = await hub.key("nils", "repository:forest", "repository:meadow")
    await _leave(hub, "nils", "forest")
    assert (await key.get("/repos/meadow/names")).status == 200
    assert (await key.get("/repos/forest/names")).status == 404
    assert (await mara.get("/repos/forest/names")).status == 200


async def test_the_end_of_a_key_by_leaving_is_written_down(hub: TestHub, mara: Person) -> None:
    await hub.user("nils")
    await hub.organization("forest", mara, nils="read")
    await hub.key("nils", "repository:forest")
    await _leave(hub, "nils", "forest")
    with hub.hub.store.view() as view:
        actions = [row.action for row in view.scan(AuditRecord)]
    assert "key.remove" in actions


async def test_disabling_ends_a_device_code_that_was_approved_but_not_fetched(
    hub: TestHub, mara: Person
) -> None:
    asked = await device(hub)
    await approve(hub, "mara", asked["user_code"])
    await hub.hub.store.transact(users.disable, OPERATOR, "mara", hub.hub.now())
    with hub.hub.store.view() as view:
        assert not list(view.find(DeviceCode, "owner", "user:mara"))
        assert not list(view.find(Session, "owner", "user:mara"))
        assert not list(view.find(AuthorizationCode, "owner", "user:mara"))
        assert not list(view.find(Link, "user", "mara"))
        assert all(key.revoked(hub.hub.now()) for key in view.find(Key, "owner", "user:mara"))
    assert (await poll(hub, asked["device_code"])).value["error"] == "invalid_grant"


async def test_an_organization_cannot_take_the_name_of_a_former_user(hub: TestHub) -> None:
    await hub.hub.store.transact(
        lambda tx: tx.put(FormerUser(username="nils", deleted_at=hub.hub.now()))
    )
    await hub.user("mara")
    with pytest.raises(Invalid, match="already been taken"):
        await hub.hub.store.transact(organizations.create, OPERATOR, "nils", "mara", hub.hub.now())


async def test_what_has_ended_is_forgotten_and_nothing_else(hub: TestHub, mara: Person) -> None:
    old = await let_in(hub, "mara")
    await device(hub)
    hub.clock.ahead = timedelta(days=15)
    young = await let_in(hub, "mara")
    assert await expiry.forget_ended(hub.hub.store, hub.hub.now()) == 2, "the two codes"
    assert (await refresh(hub, old["refresh_token"])).status == 200
    hub.clock.ahead = timedelta(days=30, hours=2)
    await expiry.forget_ended(hub.hub.store, hub.hub.now())
    with hub.hub.store.view() as view:
        (session,) = view.scan(Session)
        (token,) = view.scan(Token)
        assert not list(view.scan(DeviceCode))
    assert session.id == token.session
    assert (await refresh(hub, young["refresh_token"])).status == 200
    gone = await refresh(hub, old["refresh_token"])
    assert gone.value["error_description"] == "Invalid refresh token"


async def test_many_rows_are_forgotten_in_chunks(hub: TestHub) -> None:
    now = hub.hub.now()

    def fill(tx: Transaction) -> None:
        for number in range(1100):
            tx.put(
                Link(
                    token_hash=f"{number:064x}",
                    purpose="none",
                    username="",
                    expires_at=now - timedelta(hours=2) * (number % 2),
                )
            )

    await hub.hub.store.transact(fill)
    assert await expiry.forget_ended(hub.hub.store, now) == 550
    with hub.hub.store.view() as view:
        assert view.count(Link) == 550


def test_an_access_token_lives_long_enough_for_clients() -> None:
    """With less than 300 s left clients refresh before every command."""
    left = tokens.ACCESS_FOR.total_seconds()
    assert left > 300


async def test_a_password_from_the_operator_ends_every_session(hub: TestHub, mara: Person) -> None:
    client = bearer(hub, "mara", await let_in(hub, "mara"))
    hashed = await hub.hub.passwords.hash("another password")
    await hub.hub.store.transact(users.set_password, OPERATOR, "mara", hashed, hub.hub.now())
    assert (await client.get("/api/users/me")).status == 401
    assert (await mara.get("/api/users/me")).status == 200
