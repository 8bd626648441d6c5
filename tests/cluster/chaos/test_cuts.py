"""Members cut off from one another: a majority goes on, a minority lies to nobody, all meet again.

Each member has a network namespace of its own, on one bridge; where namespaces may not be made,
these tests are skipped by name.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.cluster.chaos.fleet import Clients, Fleet, Refused, Silent


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def may_make_namespaces() -> bool:
    if os.geteuid() != 0 or not shutil.which("ip"):
        return False
    name = f"hx{os.getpid()}t"
    try:
        ip("netns", "add", name)
        ip("netns", "del", name)
    except subprocess.CalledProcessError:
        return False
    return True


pytestmark = pytest.mark.skipif(
    not may_make_namespaces(), reason="network namespaces may not be made here"
)


class Net:
    """A bridge, and a namespace on it for each member."""

    _made = itertools.count()

    def __init__(self, fleet: Fleet) -> None:
        # The kernel takes a namespace apart after `ip netns del` has answered: no name comes twice.
        self.id = f"hx{os.getpid() % 10000}{chr(ord('a') + next(self._made) % 26)}"
        self.fleet = fleet
        self.bridge = f"{self.id}b"

    def make(self) -> None:
        ip("link", "add", self.bridge, "type", "bridge")
        ip("link", "set", self.bridge, "up")
        for at, name in enumerate(self.fleet.names):
            space, outer, inner = f"{self.id}{name}", self.outer(name), f"{self.id}{name}i"
            ip("netns", "add", space)
            ip("link", "add", outer, "type", "veth", "peer", "name", inner)
            ip("link", "set", outer, "master", self.bridge, "up")
            ip("link", "set", inner, "netns", space)
            ip("-n", space, "addr", "add", f"10.77.0.{at + 1}/24", "dev", inner)
            ip("-n", space, "link", "set", inner, "up")
            ip("-n", space, "link", "set", "lo", "up")
            self.fleet.hosts[name] = f"10.77.0.{at + 1}"
            self.fleet.prefix[name] = ["ip", "netns", "exec", space]

    def outer(self, name: str) -> str:
        return f"{self.id}{name}o"

    def cut(self, name: str) -> None:
        ip("link", "set", self.outer(name), "down")

    def mend(self, name: str) -> None:
        ip("link", "set", self.outer(name), "up")

    def deafen(self, name: str) -> None:
        """Nothing reaches it; what it says arrives."""
        self._routes("add", name)

    def hear(self, name: str) -> None:
        self._routes("del", name)

    def _routes(self, verb: str, name: str) -> None:
        for other in self.fleet.names:
            if other != name:
                host = f"{self.fleet.hosts[name]}/32"
                ip("-n", f"{self.id}{other}", "route", verb, "blackhole", host)

    def remove(self) -> None:
        for name in self.fleet.names:
            with suppress(subprocess.CalledProcessError):
                ip("link", "del", self.outer(name))
            with suppress(subprocess.CalledProcessError):
                ip("netns", "del", f"{self.id}{name}")
        with suppress(subprocess.CalledProcessError):
            ip("link", "del", self.bridge)


@asynccontextmanager
async def cluster(root: Path) -> AsyncIterator[tuple[Fleet, Net, Clients]]:
    fleet = Fleet(root, 3)
    net = Net(fleet)
    try:
        net.make()
        await fleet.formed()
        clients = Clients(fleet, 4, 9)
        await clients.go_on()
        yield fleet, net, clients
    finally:
        fleet.close()
        net.remove()


async def lonely(fleet: Fleet, name: str) -> None:
    """A member without a majority: writes and barriers fail, what it knows can be read."""

    async def refused(*question: str) -> None:
        with pytest.raises((Refused, Silent)):
            await fleet.ask(name, *question)

    await asyncio.gather(refused("add", "c", "notes", "lonely"), refused("read", "c"))
    assert await fleet.ask(name, "local", "c") > 0
    assert not await fleet.ask(name, "lease")


async def cut_and_check(
    root: Path, cut: Callable[[Net, str], None], mend: Callable[[Net, str], None], *, leads: bool
) -> None:
    async with cluster(root) as (fleet, net, clients):
        leader = await fleet.leader()
        name = leader if leads else next(one for one in fleet.names if one != leader)
        cut(net, name)
        try:
            await clients.go_on()
            await asyncio.sleep(2)
            await lonely(fleet, name)
            await clients.go_on()
        finally:
            mend(net, name)
        await clients.go_on()
        await clients.stop()
        await clients.check()


async def test_a_leader_is_cut_off(tmp_path: Path) -> None:
    await cut_and_check(tmp_path, Net.cut, Net.mend, leads=True)


@pytest.mark.long
async def test_a_follower_is_cut_off(tmp_path: Path) -> None:
    await cut_and_check(tmp_path, Net.cut, Net.mend, leads=False)


@pytest.mark.long
async def test_a_leader_that_hears_nothing_is_not_led_by(tmp_path: Path) -> None:
    await cut_and_check(tmp_path, Net.deafen, Net.hear, leads=True)


@pytest.mark.long
async def test_a_follower_that_hears_nothing_disturbs_nobody(tmp_path: Path) -> None:
    await cut_and_check(tmp_path, Net.deafen, Net.hear, leads=False)


async def test_a_link_that_flaps(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (fleet, net, clients):
        for _ in range(5):
            name = await fleet.leader()
            net.cut(name)
            await asyncio.sleep(0.7)
            net.mend(name)
            await clients.go_on()
        await clients.stop()
        await clients.check()
