"""How much there is: sums over whole tables, read in turns and good for half a minute."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from cluster.files import used_bytes
from hexhub import turns
from hexhub.hub import Hub
from hexhub.schema import Kept, Release

GOOD_FOR_S = 30.0
PARTS = (("tables", "state"), ("log", "raft"), ("snapshot", "snapshots"))
"""What the tables take on the disk, and the folders of it."""


@dataclass(slots=True)
class Sum:
    """Rows, and bytes of the objects that they point to."""

    count: int = 0
    size: int = 0

    def add(self, size: int) -> None:
        self.count += 1
        self.size += size


@dataclass(slots=True)
class Sums:
    """`own`: releases by repository; `kept`: files of the upstream by kind."""

    own: dict[str, Sum] = field(default_factory=dict)
    kept: dict[str, Sum] = field(default_factory=dict)
    docs: int = 0
    """Releases with documentation here."""

    @property
    def releases(self) -> Sum:
        return _together(self.own)

    @property
    def files(self) -> Sum:
        return _together(self.kept)

    @property
    def size(self) -> int:
        """Bytes of tarballs here and of kept files; documentation here is not counted."""
        return self.releases.size + self.files.size


def _together(sums: dict[str, Sum]) -> Sum:
    found = list(sums.values())
    return Sum(sum(each.count for each in found), sum(each.size for each in found))


class Usage:
    """The sums of one node."""

    def __init__(self) -> None:
        self._sums = Sums()
        self._at = float("-inf")
        self._turn = asyncio.Lock()

    async def sums(self, hub: Hub) -> Sums:
        """As they are now, or were within half a minute."""
        async with self._turn:
            if time.monotonic() - self._at > GOOD_FOR_S:
                self._sums, self._at = await _read(hub), time.monotonic()
            return self._sums

    def known(self) -> Sums:
        """As they were last read."""
        return self._sums


async def _read(hub: Hub) -> Sums:
    sums = Sums()
    async for releases in turns.rows(hub.store, Release, pause_s=0):
        for release in releases:
            sums.own.setdefault(release.repository, Sum()).add(release.size)
            sums.docs += release.has_docs
    async for kept in turns.rows(hub.store, Kept, pause_s=0):
        for row in kept:
            kind, below, _ = row.path.partition("/")
            sums.kept.setdefault(kind if below else "lists", Sum()).add(row.size)
    return sums


async def disk(hub: Hub) -> dict[str, int]:
    """Bytes that tables, log and snapshot take on the disk of this node."""
    return await asyncio.to_thread(_disk, hub.node.settings.directory)


def _disk(folder: Path) -> dict[str, int]:
    return {name: used_bytes(folder / part) for name, part in PARTS}
