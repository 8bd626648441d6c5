"""Killed at any moment, alone or together, under load: what was acknowledged stays, once."""

from __future__ import annotations

import asyncio
import random
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cluster.chaos.fleet import Clients, Fleet, Refused, Silent, fleet

KILLS = 30
LONG_KILLS = 200


async def kill_one(members: Fleet, chance: random.Random) -> None:
    """The leader more often than not; all at once now and then."""
    names = list(members.running)
    victims = [chance.choice(names)]
    if chance.random() < 0.6:
        with suppress(AssertionError):
            victims = [await members.leader(5.0)]
    if chance.random() < 0.1:
        victims = names
    for name in victims:
        members.kill(name)
    await asyncio.sleep(chance.uniform(0, 0.3))
    for name in victims:
        members.start(name)


async def kills(root: Path, count: int, members_count: int, seed: int) -> None:
    chance = random.Random(seed)
    async with fleet(root, members_count, snapshot_entries=300) as members:
        clients = Clients(members, 6, seed)
        for _ in range(count):
            await clients.go_on()
            await asyncio.sleep(chance.uniform(0, 0.3))
            await kill_one(members, chance)
        await clients.stop()
        await clients.check()
        reads = sum(one.kind == "read" and one.value is not None for one in clients.history)
        print(
            f"{count} kills of {members_count}: {len(clients.acknowledged)} writes, {reads} reads"
        )
        assert reads


async def test_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    await kills(tmp_path, KILLS, 3, 1)


@pytest.mark.long
@pytest.mark.parametrize(("members_count", "seed"), [(3, 2), (3, 3), (5, 4)])
async def test_many_kills_lose_nothing(tmp_path: Path, members_count: int, seed: int) -> None:
    await kills(tmp_path, LONG_KILLS, members_count, seed)


async def test_a_leader_that_is_stopped_and_goes_on_lies_to_nobody(tmp_path: Path) -> None:
    async with fleet(tmp_path) as members:
        clients = Clients(members, 4, 5)
        stopped = await members.leader()
        members.running[stopped].send_signal(signal.SIGSTOP)
        await clients.go_on()
        await asyncio.sleep(2)
        members.running[stopped].send_signal(signal.SIGCONT)
        for _ in range(10):
            with suppress(Silent, Refused):
                await members.ask(stopped, "read", "c")
        await asyncio.sleep(1)
        await clients.stop()
        await clients.check()
