"""Objects by name, bytes only: what every storage can do. Names are SHA-256 checksums."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Spooled:
    """A body on its way in: a private file, its size in bytes and its SHA-256.

    A small one may be in `data` alone; then there is no file at `path` yet.
    """

    path: Path
    size: int
    checksum: bytes
    data: bytes | None = None

    def read(self) -> bytes:
        """All of it. Blocks when it is in a file."""
        return self.path.read_bytes() if self.data is None else self.data


class Blob(Protocol):
    """An object that is there and was verified."""

    size: int
    path: Path | None
    """The file that holds it, where it is one of this machine."""

    async def read(self) -> bytes:
        """All of it, for small objects."""
        ...

    def chunks(self, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`, in pieces of at most a megabyte."""
        ...


class Storage(Protocol):
    """Immutable objects under their own SHA-256."""

    @property
    def damaged(self) -> int:
        """Objects found damaged and not replaced since."""
        ...

    @property
    def repaired(self) -> int:
        """Damaged objects that gave way to a good copy since this node was started."""
        ...

    @property
    def behind(self) -> int:
        """Objects that the tables point to and that this node has still to fetch."""
        ...

    async def put(self, spooled: Spooled) -> None:
        """Keep a spooled file, durably on a quorum, before this returns.

        The file is moved; putting what is there already changes nothing. Raises StorageFull, and
        NoQuorum where there are several nodes.
        """
        ...

    async def keep(self, spooled: Spooled) -> None:
        """As `put`, for what can be had again from elsewhere: one node is enough."""
        ...

    async def open(self, checksum: bytes) -> Blob:
        """Find an object and verify it. Raises errors.NotFound, Damaged."""
        ...

    def names(self) -> AsyncIterator[tuple[bytes, int, datetime]]:
        """Checksum, size in bytes and time of every object."""
        ...

    async def redirect(self, checksum: bytes) -> str | None:
        """An address elsewhere that gives this object to anybody who has it; None: ask here."""
        ...

    async def sweep(self, keep: Iterable[bytes], *, older_than_s: float, applied: int = 0) -> int:
        """Delete objects that are not to be kept and not young; returns how many.

        `applied` is the log index at which `keep` was read: nothing is deleted while a member has
        not come that far.
        """
        ...

    async def writable(self) -> bool:
        """Whether a put could succeed now, as far as a cheap look tells; bounded by seconds."""
        ...

    async def erase(self, checksum: bytes) -> None:
        """Delete this object here, and in the bucket where there is one; no error when it is gone.

        Only for what the tables no longer point to, for good.
        """
        ...

    async def close(self) -> None: ...
