"""Members cut off from one another: a majority goes on, a minority lies to nobody, all meet again.

Each member has a network namespace of its own, on one bridge; where namespaces may not be made, a
proxy on the loopback lies before each. The ids and the end of the output say which; `long` runs both.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.chaos.fleet import ANSWER_SECONDS, Clients, Fleet, Refused, Silent
from tests.cluster.chaos.nets import Namespaces, Net, Proxies, may_make_namespaces

BRIEFLY = 1.0
"""Seconds for which a question of the short run waits for an answer that must not come."""

Kind = type[Namespaces] | type[Proxies]
Change = Callable[[Any, str], None]


def kinds() -> list[object]:
    """The network to cut in each run, and the other one in a long run."""
    if not may_make_namespaces():
        return [pytest.param(Proxies, id="loopback-proxy")]
    return [
        pytest.param(Namespaces, id="namespaces"),
        pytest.param(Proxies, id="loopback-proxy", marks=pytest.mark.long),
    ]


every_kind = pytest.mark.parametrize("kind", kinds())


@asynccontextmanager
async def cluster(root: Path, kind: Kind) -> AsyncIterator[tuple[Fleet, Net, Clients]]:
    fleet = Fleet(root, 3)
    net: Net = kind(fleet)
    try:
        await net.make()
        await fleet.formed()
        clients = Clients(fleet, 4, 9)
        await clients.go_on()
        yield fleet, net, clients
        await clients.go_on()
        await clients.stop()
        await clients.check()
    finally:
        fleet.close()
        await net.remove()


async def lonely(fleet: Fleet, name: str, seconds: float) -> None:
    """A member without a majority: writes and barriers fail, what it knows can be read."""
    await fleet.knows(name, lambda status: not status["quorum"])

    async def refused(*question: str) -> None:
        with pytest.raises((Refused, Silent)):
            await fleet.ask(name, *question, seconds=seconds)

    await asyncio.gather(
        refused("add", "c", "notes", f"lonely {uuid.uuid4()}"), refused("read", "c")
    )
    assert await fleet.ask(name, "local", "c") > 0
    assert not await fleet.ask(name, "lease")


async def cut_and_mend(
    fleet: Fleet,
    net: Net,
    clients: Clients,
    change: Change,
    back: Change,
    *,
    leads: bool,
    seconds: float,
) -> None:
    """One member is cut off while it leads, or while another does."""
    leader = await fleet.leader()
    name = leader if leads else next(one for one in fleet.names if one != leader)
    change(net, name)
    try:
        await clients.go_on()
        await lonely(fleet, name, seconds)
        await clients.go_on()
    finally:
        back(net, name)
    await clients.go_on()


async def all_apart(fleet: Fleet, net: Net, clients: Clients) -> None:
    """Nobody has a majority: nothing is acknowledged until they meet again."""
    for name in fleet.names:
        net.cut(name)
    try:
        for name in fleet.names:
            await fleet.knows(name, lambda status: not status["quorum"])
        before = len(clients.acknowledged)
        await asyncio.gather(*(lonely(fleet, name, BRIEFLY) for name in fleet.names))
        assert len(clients.acknowledged) == before
    finally:
        for name in fleet.names:
            net.mend(name)
    await clients.go_on()


async def flap(fleet: Fleet, net: Net, clients: Clients, times: int) -> None:
    """Whoever leads is cut off for a moment, again and again."""
    for _ in range(times):
        name = await fleet.leader()
        net.cut(name)
        await asyncio.sleep(0.7)
        net.mend(name)
        await clients.go_on()


@every_kind
async def test_one_cut_of_each_kind_after_the_other(tmp_path: Path, kind: Kind) -> None:
    async with cluster(tmp_path, kind) as (fleet, net, clients):
        for change, back in ((kind.cut, kind.mend), (kind.deafen, kind.hear)):
            for leads in (True, False):
                await cut_and_mend(fleet, net, clients, change, back, leads=leads, seconds=BRIEFLY)
                await fleet.formed()
        await all_apart(fleet, net, clients)
        await flap(fleet, net, clients, 2)


@pytest.mark.long
@pytest.mark.parametrize("leads", [True, False], ids=["leader", "follower"])
@pytest.mark.parametrize("way", ["off", "deaf"])
@every_kind
async def test_one_member_is_cut_until_it_has_answered(
    tmp_path: Path, kind: Kind, way: str, leads: bool
) -> None:
    """Everyone who asks it is told within the time that is promised."""
    change, back = (kind.cut, kind.mend) if way == "off" else (kind.deafen, kind.hear)
    async with cluster(tmp_path, kind) as (fleet, net, clients):
        await cut_and_mend(fleet, net, clients, change, back, leads=leads, seconds=ANSWER_SECONDS)


@pytest.mark.long
@every_kind
async def test_a_link_that_flaps(tmp_path: Path, kind: Kind) -> None:
    async with cluster(tmp_path, kind) as (fleet, net, clients):
        await flap(fleet, net, clients, 10)
