"""Reading whole tables in turns: nothing that moves meanwhile is missed, and others get their turn."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from cluster import Change, Record, Store
from hexhub import per_package, turns
from hexhub.per_package import PerPackage
from hexhub.schema import PUBLIC, Package, Release
from tests.hexhub.hubs import TestHub

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def one_row_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_S", 0.0)
    monkeypatch.setattr(turns, "PAUSE_S", 0)
    monkeypatch.setattr(per_package, "TURN_S", 0.0)


def put(tx: Any, name: str, checksum: bytes = bytes(32), repository: str = PUBLIC) -> None:
    tx.put(Package(repository=repository, name=name, created_at=MOMENT, updated_at=MOMENT))
    tx.put(
        Release(
            repository=repository,
            package=name,
            version="1.0.0",
            inner_checksum=bytes(32),
            outer_checksum=checksum,
            size=1,
            app=name,
            build_tools=("mix",),
            created_at=MOMENT,
            updated_at=MOMENT,
        )
    )


def move(tx: Any, name: str, to: str) -> None:
    for record in (Package, Release):
        for row in list(tx.scan(record, PUBLIC, name)):
            tx.delete(row)
            tx.put(msgspec.structs.replace(row, **{_field(record): to}))


def _field(record: type) -> str:
    return "name" if record is Package else "package"


def remove(tx: Any, name: str) -> None:
    for record in (Package, Release):
        for row in list(tx.scan(record, PUBLIC, name)):
            tx.delete(row)


async def test_rows_come_in_order_and_others_get_their_turn(hub: TestHub) -> None:
    for name in ("a", "b", "c"):
        await hub.hub.store.transact(put, name)
    found = [[row.name for row in rows] async for rows in turns.rows(hub.hub.store, Package)]
    assert found == [["a"], ["b"], ["c"]]


async def test_a_pointer_that_moves_behind_the_reading_is_not_missed(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package renamed from a row not yet read to one already read keeps its tarball."""
    store = hub.hub.store
    for number, name in enumerate(("b", "c", "d")):
        await store.transact(put, name, bytes([number]) * 32)
    rows = turns.rows
    moved: list[str] = []

    async def moving(store: Store, record: type[Record]) -> AsyncIterator[list[Record]]:
        async for found in rows(store, record):
            yield found
            if record is Release and not moved:
                moved.extend(row.package for row in found if isinstance(row, Release))
                await store.transact(move, "d", "a")

    monkeypatch.setattr(turns, "rows", moving)
    found = await turns.pointed_to(store, settle_s=0)
    assert moved == ["b"]
    assert found >= {bytes([number]) * 32 for number in range(3)}


class _Stepped:
    """A coroutine that only ever gives way (`sleep(0)`), run one turn at a time."""

    def __init__(self, coroutine: Any) -> None:
        self._coroutine = coroutine

    def step(self) -> None:
        self._coroutine.send(None)

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield from self._coroutine.__await__())


async def test_values_are_those_of_the_rows_whatever_happens_meanwhile(hub: TestHub) -> None:
    store = hub.hub.store
    told: dict[tuple[str, str], str] = {}

    def changed(key: tuple[str, str], before: str | None, after: str | None) -> None:
        assert told.get(key) == before
        if after is None:
            del told[key]
        else:
            told[key] = after

    derived = PerPackage(store, lambda view, package: package.name.upper(), changed=changed)

    def note(change: Change) -> None:
        for record, key in change.keys or ():
            if record is Package:
                derived.stale((key[0], key[1]))

    store.subscribe(note)
    for name in ("b", "c", "d"):
        await store.transact(put, name)
    stepped = _Stepped(derived.fresh())
    stepped.step()
    assert list(derived.values) == [(PUBLIC, "b")]
    await store.transact(put, "a")
    await store.transact(remove, "b")
    await store.transact(remove, "d")
    await stepped
    assert derived.values == told == {(PUBLIC, "a"): "A", (PUBLIC, "c"): "C"}


async def test_after_a_snapshot_everything_is_read_again_and_what_is_gone_is_dropped(
    hub: TestHub,
) -> None:
    store = hub.hub.store
    gone: list[tuple[str, str]] = []

    def changed(key: tuple[str, str], before: str | None, after: str | None) -> None:
        if after is None:
            gone.append(key)

    derived = PerPackage(
        store,
        lambda view, package: package.name,
        changed=changed,
    )
    await store.transact(put, "a")
    await store.transact(put, "b")
    await derived.fresh()
    await store.transact(remove, "a")
    assert len(derived.values) == 2
    derived.forget()
    await derived.fresh()
    assert list(derived.values) == [(PUBLIC, "b")]
    assert gone == [(PUBLIC, "a")]


async def test_a_package_that_cannot_be_read_is_tried_again(hub: TestHub) -> None:
    store = hub.hub.store
    broken = True

    def make(view: object, package: Package) -> str:
        if broken:
            raise RuntimeError
        return package.name

    derived = PerPackage(store, make, changed=lambda key, before, after: None)
    await store.transact(put, "a")
    with pytest.raises(RuntimeError):
        await derived.fresh()
    broken = False
    await derived.fresh()
    assert list(derived.values) == [(PUBLIC, "a")]
