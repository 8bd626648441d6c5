"""What is counted per request: batches, last uses, and what happens when they cannot be written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from cluster import NoLeader
from hexhub import counters as counters_module
from hexhub.counters import Counters
from hexhub.schema import PUBLIC, Downloads, Key, KeyUse, Release
from tests.hexhub.hubs import Person, TestHub
from tests.hexhub.packages import package


@pytest.fixture
async def release(hub: TestHub, mara: Person) -> Release:
    """A release to be fetched."""
    assert (await mara.publish(package("acorn"))).status == 201
    with hub.hub.store.view() as view:
        found = view.get(Release, PUBLIC, "acorn", "1.0.0")
    assert found is not None
    return found


def _counted(hub: TestHub) -> int:
    with hub.hub.store.view() as view:
        return sum(row.count for row in view.scan(Downloads, PUBLIC, "acorn"))


async def test_downloads_of_a_day_are_summed_in_one_row(hub: TestHub, release: Release) -> None:
    counters, now = Counters(hub.hub.store), hub.hub.now()
    before = hub.hub.store.applied
    for _ in range(1000):
        counters.download(release, now)
    await counters.flush()
    for _ in range(5):
        counters.download(release, now)
    counters.download(release, now + timedelta(days=1))
    await counters.flush()
    await counters.flush()
    assert _counted(hub) == 1006
    assert hub.hub.store.applied == before + 2
    with hub.hub.store.view() as view:
        assert view.count(Downloads, PUBLIC, "acorn") == 2


async def test_downloads_of_what_is_gone_are_dropped(
    hub: TestHub, mara: Person, release: Release
) -> None:
    counters = Counters(hub.hub.store)
    counters.download(release, hub.hub.now())
    await mara.delete("/api/packages/acorn/releases/1.0.0")
    await counters.flush()
    assert _counted(hub) == 0


class Unwilling:
    """A store that refuses, or waits, when told to."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.refuses = False
        self.began, self.go_on = asyncio.Event(), asyncio.Event()
        self.go_on.set()
        self.view = store.view

    async def transact(self, work: Callable[..., Any], *arguments: Any) -> Any:
        if self.refuses:
            raise NoLeader("nobody leads")
        result = await self._store.transact(work, *arguments)
        self.began.set()
        await self.go_on.wait()
        return result


async def test_counts_that_cannot_be_written_are_kept(hub: TestHub, release: Release) -> None:
    store = Unwilling(hub.hub.store)
    counters = Counters(store)  # type: ignore[arg-type]
    store.refuses = True
    for _ in range(3):
        counters.download(release, hub.hub.now())
        await counters.flush()
    assert _counted(hub) == 0
    store.refuses = False
    await counters.flush()
    assert _counted(hub) == 3


async def test_what_is_counted_while_others_are_written_is_not_lost(
    hub: TestHub, release: Release
) -> None:
    store = Unwilling(hub.hub.store)
    store.go_on.clear()
    counters = Counters(store)  # type: ignore[arg-type]
    counters.download(release, hub.hub.now())
    flushing = asyncio.create_task(counters.flush())
    await store.began.wait()
    counters.download(release, hub.hub.now())
    store.go_on.set()
    await flushing
    await counters.flush()
    assert _counted(hub) == 2


async def test_nothing_counts_twice_when_a_node_stops_while_it_writes(
    hub: TestHub, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters_module, "FLUSH_EVERY_S", 0.0)
    store = Unwilling(hub.hub.store)
    store.go_on.clear()
    counters = Counters(store)  # type: ignore[arg-type]
    counters.download(release, hub.hub.now())
    running = asyncio.create_task(counters.run())
    await store.began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    store.go_on.set()
    await counters.flush()
    assert _counted(hub) == 1


async def test_the_last_use_of_a_key_is_kept_and_cut(hub: TestHub, mara: Person) -> None:
    counters, now = Counters(hub.hub.store), hub.hub.now()
    lookup = hub.hub.secret_hash(mara.authorization or "")[:32]
    with hub.hub.store.view() as view:
        key = view.get(Key, lookup)
    assert key is not None
    counters.key_use(key, now, "192.0.2.7", "agent " * 100)
    counters.key_use(key, now + timedelta(minutes=1), "192.0.2.8", "later")
    await counters.flush()
    with hub.hub.store.view() as view:
        use = view.get(KeyUse, lookup)
    assert use is not None
    assert (use.ip, use.user_agent, use.used_at) == ("192.0.2.7", ("agent " * 100)[:255], now)
    counters.key_use(key, now + timedelta(minutes=4), "192.0.2.9", "too soon")
    before = hub.hub.store.applied
    await counters.flush()
    assert hub.hub.store.applied == before


async def test_counting_is_bounded(
    hub: TestHub, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters_module, "WAITING_MAX", 2)
    counters, now = Counters(hub.hub.store), hub.hub.now()
    for age in range(5):
        counters.download(release, now + timedelta(days=age))
        counters.download(release, now)
    await counters.flush()
    with hub.hub.store.view() as view:
        assert view.count(Downloads, PUBLIC, "acorn") == 2
    assert _counted(hub) == 7
