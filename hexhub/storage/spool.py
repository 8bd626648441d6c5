"""Bodies on their way in: a private file in the data directory, hashed and bounded while it grows."""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from hexhub.errors import TooLarge, Unavailable
from hexhub.formats.checksum import sha256
from hexhub.storage import Spooled
from hexhub.storage.local import full_or

FLUSH_AT = 1 << 20
TAKEN_MAX = 128
"""Bodies on their way in at once; each may hold a megabyte of memory and twenty of disk."""
TAKEN_FROM_ONE_MAX = 32
"""Of these from one sender, so that nobody who is slow keeps all others out."""


class Spool:
    """A folder for bodies. What an earlier run left in it is deleted."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._folder = folder
        self._taken = 0
        self._taken_from: Counter[str] = Counter()
        self._names = itertools.count()

    def small(self, data: bytes) -> Spooled:
        """A body in memory, and where its file will be when it is put."""
        path = self._folder / f"{next(self._names):x}"
        return Spooled(path, len(data), sha256(data), data)

    @asynccontextmanager
    async def take(
        self,
        chunks: AsyncIterator[bytes],
        size_max: int,
        *,
        in_memory: int = 0,
        sender: str | None = None,
    ) -> AsyncIterator[Spooled]:
        """Write a body to a file that is gone after the block unless it was moved.

        One of at most `in_memory` bytes is not written before it is put. Raises TooLarge above
        `size_max` bytes, StorageFull without room, Unavailable when too many are on their way, in
        all or from this sender.
        """
        if self._taken >= TAKEN_MAX:
            raise Unavailable("too many uploads at once")
        if sender is not None and self._taken_from[sender] >= TAKEN_FROM_ONE_MAX:
            raise Unavailable(f"too many uploads of {sender} at once")
        self._taken += 1
        if sender is not None:
            self._taken_from[sender] += 1
        path = self._folder / f"{next(self._names):x}"
        written = False
        try:
            first = bytearray()
            async for chunk in chunks:
                first += chunk
                if len(first) > min(in_memory, size_max):
                    break
            else:
                yield self.small(bytes(first))
                return
            written = True
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                size, checksum = await _write(_behind(bytes(first), chunks), file, size_max)
            yield Spooled(path, size, checksum)
        except OSError as error:
            raise full_or(error) from error
        finally:
            self._taken -= 1
            if sender is not None:
                self._taken_from[sender] -= 1
                if not self._taken_from[sender]:
                    del self._taken_from[sender]
            if written:
                with suppress(FileNotFoundError):  # put moves it away
                    os.unlink(path)


async def _behind(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in chunks:
        yield chunk


async def _write(
    chunks: AsyncIterator[bytes], file: io.RawIOBase | io.FileIO, size_max: int
) -> tuple[int, bytes]:
    """Write all chunks off the event loop, a megabyte at a time; their size and SHA-256."""
    digest, size, waiting = hashlib.sha256(), 0, bytearray()

    def flush(data: bytearray) -> None:
        digest.update(data)
        view = memoryview(data)
        while view:
            view = view[os.write(file.fileno(), view) :]

    async for chunk in chunks:
        size += len(chunk)
        if size > size_max:
            raise TooLarge
        waiting += chunk
        if len(waiting) >= FLUSH_AT:
            await _to_the_end(flush, waiting)
            waiting = bytearray()
    await _to_the_end(flush, waiting)
    return size, digest.digest()


async def _to_the_end(work: Callable[[bytearray], None], data: bytearray) -> None:
    """Run work on a thread, and wait for it even when cancelled.

    The file is closed next, and its number may be another upload's before the thread writes again.
    """
    running = asyncio.get_running_loop().run_in_executor(None, work, data)
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
