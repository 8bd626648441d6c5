"""Keeps one connection for the log to each other member, and remembers where they are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from cluster.configuration import name_of
from cluster.discovery import Discovery
from cluster.errors import LinkRefused
from cluster.files import replace_file
from cluster.links import Address, Hello, Link
from cluster.raft import Raft
from cluster.streams import RAFT, Streams

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.05
FIRST_RETRY_SECONDS: Final = 0.1
LAST_RETRY_SECONDS: Final = 0.5
SECOND_SECONDS: Final = 1.0
"""The member with the smaller id waits this long for the other to dial."""
ELSEWHERE_AFTER: Final = 4
"""Failures after which discovery is asked whether a member has moved."""


class Book:
    """Where members listen, by id; kept on disk, for no member is asked at the start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.addresses: dict[str, Address] = {}
        try:
            self.addresses = msgspec.json.decode(path.read_bytes(), type=dict[str, Address])
        except FileNotFoundError:
            pass
        except msgspec.MsgspecError:
            log.warning("%s cannot be read: members will be found again", path)

    def note(self, found: dict[str, Address]) -> None:
        """Remember these."""
        known = {member: where for member, where in found.items() if where[1]}
        if any(self.addresses.get(member) != where for member, where in known.items()):
            self.addresses |= known
            replace_file(self._path, msgspec.json.encode(self.addresses))

    def resolve(self, who: str, members: frozenset[str]) -> Address | None:
        """The address of a member by id or name."""
        if who in self.addresses:
            return self.addresses[who]
        named = [one for one in members if name_of(one) == who]
        return self.addresses.get(named[0]) if named else None


class _Try:
    """The next attempt to reach one member."""

    __slots__ = ("at", "failures", "task")

    def __init__(self, at: float) -> None:
        self.at = at
        self.failures = 0
        self.task: asyncio.Task[None] | None = None


class Mesh:
    """Dials the others for one node."""

    def __init__(
        self,
        raft: Raft,
        streams: Streams,
        book: Book,
        discovery: Discovery | None,
        on_hello: Callable[[Hello], None],
    ) -> None:
        self._raft = raft
        self._streams = streams
        self._book = book
        self._discovery = discovery
        self._on_hello = on_hello
        self._tries: dict[str, _Try] = {}

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                for member in self._raft.others:
                    self._look(member, loop.time())
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            tasks = [one.task for one in self._tries.values() if one.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def lost(self) -> frozenset[str]:
        """Members that were dialled in vain, and have not come by themselves."""
        return frozenset(member for member, one in self._tries.items() if one.failures)

    def _look(self, member: str, now: float) -> None:
        if self._raft.carrier.has(member):
            self._tries.pop(member, None)
            return
        attempt = self._tries.get(member)
        if attempt is None:
            wait = 0.0 if self._raft.member > member else SECOND_SECONDS
            attempt = self._tries[member] = _Try(now + wait)
        if attempt.task is not None and attempt.task.done():
            attempt.task = None
        if attempt.task is None and now >= attempt.at:
            attempt.at = now + min(FIRST_RETRY_SECONDS * 2**attempt.failures, LAST_RETRY_SECONDS)
            attempt.task = asyncio.create_task(self._dial(member, attempt))

    async def _dial(self, member: str, attempt: _Try) -> None:
        for address in await self._where(member, attempt.failures):
            try:
                link = await self._streams.dial(address, RAFT)
            except (OSError, TimeoutError, LinkRefused) as error:
                log.debug("%s at %s:%d: %s", member, *address, error)
                continue
            if link.peer.member == member:
                self.take(link)
                attempt.at = asyncio.get_running_loop().time() + SECOND_SECONDS
                return
            link.close()
        attempt.failures += 1

    def take(self, link: Link) -> None:
        """Hand a greeted connection to the log, dialled or taken."""
        self._book.note({link.peer.member: link.peer.address})
        self._on_hello(link.peer)
        self._raft.adopt(link)

    async def _where(self, member: str, failures: int) -> list[Address]:
        known = self._book.addresses.get(member)
        found = [known] if known is not None else []
        if self._discovery is not None and (known is None or failures >= ELSEWHERE_AFTER):
            peers = await self._discovery.peers()
            found += [(p.host, p.port) for p in peers if p.name == name_of(member) and p.port]
        return list(dict.fromkeys(found))
