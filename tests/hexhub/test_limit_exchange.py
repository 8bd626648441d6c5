"""Members tell one another what they counted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from hexhub.domain import networks
from hexhub.domain.audit import OPERATOR
from hexhub.formats.rate_limits import RateLimits
from hexhub.limit_exchange import LimitExchange
from hexhub.limits import Limits, Told
from tests.hexhub.hubs import TestHub


@dataclass(frozen=True)
class Member:
    name: str
    reachable: bool = True


class Stream:
    """Both ends of a stream of frames."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def read(self) -> bytes | None:
        return await self.frames.get()

    async def write(self, frame: bytes) -> None:
        await self.frames.put(frame)


class Streams:
    """The streams of two members in one process."""

    def __init__(self, me: str, others: dict[str, Streams]) -> None:
        self.me = me
        self.others = others
        self.handlers: dict[str, Any] = {}
        others[me] = self

    def serve(self, name: str, handler: Any) -> None:
        self.handlers[name] = handler

    @asynccontextmanager
    async def open(self, member: str, name: str) -> AsyncIterator[tuple[Stream, Stream]]:
        there = Stream()
        handler = self.others[member].handlers[name](Member(self.me), there, Stream())
        task = asyncio.get_running_loop().create_task(handler)
        try:
            yield Stream(), there
        finally:
            await there.frames.put(None)
            await task


@pytest.fixture
def limits(hub: TestHub) -> list[Limits]:
    """The limits of two nodes."""
    return [Limits(hub.hub.store, RateLimits(ip=5)) for _ in range(2)]


def remaining(limits: Limits, hub: TestHub, ip: str = "192.0.2.7") -> int:
    counted = limits.count(ip, None, None, hub.hub.now())
    assert counted is not None
    return counted.remaining


async def test_counts_of_another_node_are_added(hub: TestHub, limits: list[Limits]) -> None:
    here, there = limits
    assert [remaining(there, hub) for _ in range(3)] == [4, 3, 2]

    here.heard("there", there.told())
    here.heard("there", there.told())

    assert remaining(here, hub) == 1
    assert remaining(here, hub, "192.0.2.8") == 4


async def test_counts_of_another_minute_are_not(hub: TestHub, limits: list[Limits]) -> None:
    here, there = limits
    remaining(there, hub)
    told = there.told()
    here.heard("there", Told(told.window - 1, told.counts))

    assert remaining(here, hub) == 4


async def test_members_keep_telling(hub: TestHub, limits: list[Limits]) -> None:
    both: dict[str, Streams] = {}
    members = (Member("one"), Member("two"))
    heard = asyncio.Event()

    class Hearing(Limits):
        def heard(self, member: str, told: Told) -> None:
            super().heard(member, told)
            if told.counts:
                heard.set()

    one, two = limits[0], Hearing(hub.hub.store, RateLimits(ip=5))
    remaining(one, hub)
    exchanges = [
        LimitExchange(Streams(name, both), name, lambda: members, counted)  # type: ignore[arg-type, return-value]
        for name, counted in (("one", one), ("two", two))
    ]
    running = [asyncio.get_running_loop().create_task(each.run()) for each in exchanges]
    try:
        async with asyncio.timeout(20):
            await heard.wait()
    finally:
        for task in running:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    assert remaining(two, hub) == 3


async def test_a_blocked_peer_gets_no_kept_answer_either(hub: TestHub) -> None:
    for _ in range(3):
        assert (await hub.nobody.get("/public_key")).status == 200
        assert (await hub.nobody.get("/names")).status == 200
    await hub.hub.store.transact(networks.put, OPERATOR, "127.0.0.1", "blocked", "", hub.hub.now())

    assert (await hub.nobody.get("/names")).status == 403
