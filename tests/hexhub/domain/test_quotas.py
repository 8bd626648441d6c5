"""A repository holds no more than its quota, whoever publishes at once, and the sums stay right."""

from __future__ import annotations

import asyncio

import pytest

from hexhub.domain import moves, quotas, removals
from hexhub.domain.audit import OPERATOR
from hexhub.errors import Invalid, NotFound
from hexhub.schema import AuditRecord, Quota
from tests.hexhub.hubs import Answer, Person, TestHub
from tests.hexhub.packages import package


async def bounded(
    hub: TestHub, repository: str, size: int | None, packages: int | None = None
) -> None:
    await hub.hub.store.transact(quotas.put, OPERATOR, repository, size, packages, hub.hub.now())


def held(hub: TestHub, repository: str) -> tuple[int, int]:
    """What the quota says is held; it must be what is counted anew."""
    with hub.hub.store.view() as view:
        quota = view.get(Quota, repository)
        assert quota is not None
        assert (quota.used_bytes, quota.used_packages) == quotas.used(view, repository)
        return quota.used_bytes, quota.used_packages


def refused(answer: Answer) -> str:
    assert answer.status == 422, answer.body
    return str(answer.errors["quota"])


async def test_what_does_not_fit_is_refused_in_words_and_leaves_nothing(
    hub: TestHub, mara: Person
) -> None:
    body = package("decimal")
    await hub.organization("acme", mara)
    await bounded(hub, "acme", len(body) + 10)
    assert (await mara.publish(body, repository="acme")).status == 201
    before = hub.traces()
    said = refused(await mara.publish(package("ecto"), repository="acme"))
    assert said.startswith(f"acme may hold {len(body) + 10} bytes and holds {len(body)}: ")
    assert "ask an administrator" in said
    assert hub.traces() == before
    assert held(hub, "acme") == (len(body), 1)
    assert (await mara.publish(package("ecto"))).status == 201  # hexpm has no quota


async def test_packages_are_bounded_and_new_versions_of_old_ones_are_not(
    hub: TestHub, mara: Person
) -> None:
    await bounded(hub, "hexpm", None, 1)
    assert (await mara.publish(package("decimal"))).status == 201
    assert (await mara.publish(package("decimal", "1.1.0"))).status == 201
    assert "may have 1 packages and has 1" in refused(await mara.publish(package("ecto")))


async def test_what_is_replaced_or_taken_away_makes_room(hub: TestHub, mara: Person) -> None:
    small, large = package("decimal"), package("decimal", text="x" * 20_000)
    await bounded(hub, "hexpm", len(large))
    assert (await mara.publish(small)).status == 201
    assert (await mara.publish(large, replace=True)).status == 200
    assert held(hub, "hexpm") == (len(large), 1)
    refused(await mara.publish(package("ecto")))
    assert (await mara.delete("/api/packages/decimal/releases/1.0.0")).status == 204
    assert held(hub, "hexpm") == (0, 0)
    assert (await mara.publish(package("ecto"))).status == 201


async def test_removals_and_moves_are_counted_on_both_sides(hub: TestHub, mara: Person) -> None:
    store, now = hub.hub.store, hub.hub.now
    await hub.organization("acme", mara)
    for repository in ("hexpm", "acme"):
        await bounded(hub, repository, 1 << 20, 100)
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        await mara.publish(package("decimal", version), repository="acme")
    await store.transact(removals.remove_release, OPERATOR, "acme", "decimal", "1.1.0", "x", now())
    size, count = held(hub, "acme")
    assert (size > 0, count) == (True, 1)
    await store.transact(moves.move, OPERATOR, "acme", "decimal", "hexpm", now())
    assert held(hub, "acme") == (0, 0)
    assert held(hub, "hexpm") == (size, 1)
    await store.transact(removals.remove_package, OPERATOR, "hexpm", "decimal", "x", now())
    assert held(hub, "hexpm") == (0, 0)
    await store.transact(removals.remove_organization, OPERATOR, "acme", "x", now())
    with store.view() as view:
        assert view.get(Quota, "acme") is None


async def test_those_who_publish_at_once_cannot_both_take_the_last_place(
    hub: TestHub, mara: Person
) -> None:
    await bounded(hub, "hexpm", None, 3)
    answers = await asyncio.gather(*(mara.publish(package(f"p{n}_x")) for n in range(8)))
    assert sorted(answer.status for answer in answers) == [201] * 3 + [422] * 5
    assert held(hub, "hexpm")[1] == 3


async def test_a_quota_is_audited_counts_what_is_there_and_can_be_taken_away(
    hub: TestHub, mara: Person
) -> None:
    body = package("decimal")
    assert (await mara.publish(body)).status == 201
    await bounded(hub, "hexpm", 1)
    assert held(hub, "hexpm") == (len(body), 1)
    refused(await mara.publish(package("decimal", "1.1.0")))
    await hub.hub.store.transact(quotas.remove, OPERATOR, "hexpm", hub.hub.now())
    assert (await mara.publish(package("decimal", "1.1.0"))).status == 201
    with hub.hub.store.view() as view:
        told = [row for row in view.scan(AuditRecord) if row.action.startswith("quota.")]
    assert [row.action for row in told] == ["quota.set", "quota.remove"]
    assert told[0].params == {"repository": "hexpm", "bytes": 1, "packages": None}
    with pytest.raises(NotFound):
        await hub.hub.store.transact(quotas.remove, OPERATOR, "hexpm", hub.hub.now())


@pytest.mark.parametrize(
    ("size", "packages", "field"),
    [(-1, None, "bytes"), ("1", None, "bytes"), (None, True, "packages"), (None, None, "bytes")],
)
async def test_a_bound_is_a_number(
    hub: TestHub, size: object, packages: object, field: str
) -> None:
    now = hub.hub.now()
    with pytest.raises(Invalid) as caught:
        await hub.hub.store.transact(quotas.put, OPERATOR, "hexpm", size, packages, now)
    assert field in caught.value.errors
    with pytest.raises(NotFound):
        await hub.hub.store.transact(quotas.put, OPERATOR, "nobody", 1, None, now)
