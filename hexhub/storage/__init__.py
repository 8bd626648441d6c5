"""Objects by name, bytes only: what every storage can do. Names are SHA-256 checksums."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Spooled:
    """A body on its way in: a private file, its size in bytes and its SHA-256."""

    path: Path
    size: int
    checksum: bytes


class Blob(Protocol):
    """An object that is there and was verified."""

    size: int

    async def read(self) -> bytes:
        """All of it, for small objects."""
        ...

    def chunks(self, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`, in pieces of at most a megabyte."""
        ...


class Storage(Protocol):
    """Immutable objects under their own SHA-256."""

    damaged: int
    """Objects found damaged since the start."""

    async def put(self, spooled: Spooled) -> None:
        """Keep a spooled file, durably, before this returns. Raises StorageFull.

        The file is moved; putting what is there already changes nothing.
        """
        ...

    async def open(self, checksum: bytes) -> Blob:
        """Find an object and verify it. Raises errors.NotFound, Damaged."""
        ...

    async def sweep(self, keep: Iterable[bytes], *, older_than_s: float) -> int:
        """Delete objects that are not to be kept and not young; returns how many."""
        ...

    async def close(self) -> None: ...
