"""Networks of members that can be cut: a namespace for each of them, or a proxy before each.

Both cut as a cable does: connections stay, what is sent waits, and all of it arrives after healing.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import shutil
import subprocess
from contextlib import suppress
from typing import Final, Protocol

from tests.cluster.chaos.fleet import Fleet

RELAY_BYTES: Final = 1 << 16


class Net(Protocol):
    """What lies between the members of a fleet."""

    def __init__(self, fleet: Fleet) -> None: ...

    async def make(self) -> None:
        """Build it, and tell the fleet its addresses."""

    def cut(self, name: str) -> None:
        """Nothing reaches this member, and nothing of it reaches others."""

    def mend(self, name: str) -> None: ...

    def deafen(self, name: str) -> None:
        """Nothing reaches it; what it says arrives."""

    def hear(self, name: str) -> None: ...

    async def remove(self) -> None: ...


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@functools.cache
def may_make_namespaces() -> bool:
    """Whether this process is allowed to, tried once."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        return False
    name = f"hx{os.getpid()}t"
    try:
        ip("netns", "add", name)
        ip("link", "add", name, "type", "bridge")
        ip("link", "del", name)
    except subprocess.CalledProcessError:
        return False
    finally:
        with suppress(subprocess.CalledProcessError):
            ip("netns", "del", name)
    return True


class Namespaces:
    """A bridge, and a namespace on it for each member."""

    _made = itertools.count()

    def __init__(self, fleet: Fleet) -> None:
        # The kernel takes a namespace apart after `ip netns del` has answered: no name comes twice.
        self.id = f"hx{os.getpid() % 10000}{chr(ord('a') + next(self._made) % 26)}"
        self.fleet = fleet
        self.bridge = f"{self.id}b"

    async def make(self) -> None:
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
        self._routes("add", name)

    def hear(self, name: str) -> None:
        self._routes("del", name)

    def _routes(self, verb: str, name: str) -> None:
        for other in self.fleet.names:
            if other != name:
                host = f"{self.fleet.hosts[name]}/32"
                ip("-n", f"{self.id}{other}", "route", verb, "blackhole", host)

    async def remove(self) -> None:
        for name in self.fleet.names:
            with suppress(subprocess.CalledProcessError):
                ip("link", "del", self.outer(name))
            with suppress(subprocess.CalledProcessError):
                ip("netns", "del", f"{self.id}{name}")
        with suppress(subprocess.CalledProcessError):
            ip("link", "del", self.bridge)


class Proxies:
    """Addresses of the loopback: each member has one, and another before it that relays.

    Members dial from their own address, so the proxy knows both ends of a connection.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        net = os.getpid() % 250
        for at, name in enumerate(fleet.names):
            fleet.hosts[name] = f"127.77.{net}.{at + 1}"
            fleet.fronts[name] = f"127.78.{net}.{at + 1}"
        self._names = {host: name for name, host in fleet.hosts.items()}
        self._flows = {pair: asyncio.Event() for pair in itertools.permutations(fleet.names, 2)}
        for flow in self._flows.values():
            flow.set()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def make(self) -> None:
        for name in self.fleet.names:

            def taken(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str = name
            ) -> None:
                task = asyncio.create_task(self._relay(name, reader, writer))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

            where = self.fleet.fronts[name], self.fleet.ports[name]
            self._servers.append(await asyncio.start_server(taken, *where))

    def cut(self, name: str) -> None:
        for pair, flow in self._flows.items():
            if name in pair:
                flow.clear()

    def mend(self, name: str) -> None:
        for pair, flow in self._flows.items():
            if name in pair:
                flow.set()

    def deafen(self, name: str) -> None:
        for (_, to), flow in self._flows.items():
            if to == name:
                flow.clear()

    def hear(self, name: str) -> None:
        self.mend(name)

    async def remove(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _relay(
        self, to: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One connection to a member, as long as both ends want it."""
        dialer = self._names[writer.get_extra_info("peername")[0]]
        out, back = self._flows[dialer, to], self._flows[to, dialer]
        ends = [writer]
        try:
            await out.wait()
            await back.wait()
            answers, member = await asyncio.open_connection(
                self.fleet.hosts[to], self.fleet.ports[to]
            )
            ends.append(member)
            await asyncio.gather(_pump(reader, member, out), _pump(answers, writer, back))
        except OSError:  # one end is gone, and the other will hear of it
            await out.wait()
            await back.wait()
        finally:
            for end in ends:
                end.transport.abort()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flow: asyncio.Event
) -> None:
    """What one end says, to the other, while the way there is open."""
    while True:
        said = await reader.read(RELAY_BYTES)
        await flow.wait()
        if not said:
            writer.write_eof()
            return
        writer.write(said)
        await writer.drain()
