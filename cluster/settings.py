"""What one member is started with, and whether its disk has room."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from cluster.discovery import Discovery
from cluster.errors import DiskReadOnly
from cluster.files import free_bytes, is_read_only
from cluster.links import Address
from cluster.lock import LOCK

LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """What one member is started with. Sizes are bytes."""

    name: str
    directory: Path
    version: str = ""
    map_size: int = 1 << 30
    """What the tables may grow to before the map is doubled; address space, not disk."""
    snapshot_bytes: int = 64 << 20
    snapshot_entries: int = 100_000
    """A snapshot is taken, and the journal cut behind it, when it is longer than either."""
    disk_reserve: int = 64 << 20
    """Writes are refused when less than this is free, so that nothing breaks half-way."""
    secret: bytes | None = None
    """What all members share; without it, or without `bind`, this stays a cluster of one."""
    bind: Address | None = None
    advertise: str = ""
    """The host others reach this node at; the bound one when empty."""
    expect: int = 1
    """How many fresh nodes form a cluster together."""
    clustering: bool = False
    """Whether a node without data looks for others, instead of beginning alone."""
    discovery: Discovery | None = None

    def room(self, size: int = 0) -> bool:
        """Whether so many bytes may be written and the reserve is still there."""
        return free_bytes(self.directory) >= self.disk_reserve + size

    def takes_writes(self) -> bool:
        """Whether there is room for a write. DiskReadOnly."""
        if is_read_only(self.directory / LOCK):
            raise DiskReadOnly("the disk of the data directory is read-only")
        return self.room()


class Room:
    """`takes_writes` of settings, looked at again after a moment.

    A look asks the kernel, which lets other threads take the interpreter in the middle of a write.
    """

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self._until = 0.0

    def __call__(self) -> bool:
        now = time.monotonic()
        if now < self._until:
            return True
        found = self._settings.takes_writes()
        self._until = now + LOOK_SECONDS if found else 0.0
        return found
