"""Archives unpacked for reading: derived on each node, rebuilt at any time, bounded by size.

An archive becomes one pack file, named by what it was made from. File names of strangers never
become names on this disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeAlias

from hexhub.errors import Malformed, NotFound
from hexhub.storage import Storage
from hexhub.storage.memory import SmallBlobs
from hexhub.unpacked import archives
from hexhub.unpacked.pack import Entry, Pack

Kind: TypeAlias = Literal["docs", "package"]

SIZE_MAX = 2 * 1000**3
"""Bytes of packs kept on disk; the least recently opened go first."""
OPEN_MAX = 128
PATIENCE_S = 60.0

__all__ = ["Entry", "Kind", "Pack", "Unpacked"]


class Unpacked:
    """Packs of docs archives and package contents, made when first asked for."""

    def __init__(
        self,
        storage: Storage,
        small: SmallBlobs,
        folder: Path,
        threads: ThreadPoolExecutor,
        *,
        size_max: int = SIZE_MAX,
    ) -> None:
        self._storage = storage
        self._small = small
        self._folder = folder
        self._threads = threads
        self._size_max = size_max
        self._open: OrderedDict[tuple[Kind, bytes], Pack] = OrderedDict()
        self._making: dict[tuple[Kind, bytes], asyncio.Task[Pack]] = {}

    async def get(self, kind: Kind, checksum: bytes) -> Pack:
        """What an archive holds. Raises NotFound when it is not stored or cannot be read."""
        pack = self._open.get((kind, checksum))
        if pack is not None:
            self._open.move_to_end((kind, checksum))
            return pack
        task = self._making.get((kind, checksum))
        if task is None:
            # One for all who ask, and not given up when one of them goes away.
            task = asyncio.get_running_loop().create_task(self._make(kind, checksum))
            self._making[kind, checksum] = task
            task.add_done_callback(lambda done: self._made(kind, checksum, done))
        async with asyncio.timeout(PATIENCE_S):
            return await asyncio.shield(task)

    def _made(self, kind: Kind, checksum: bytes, task: asyncio.Task[Pack]) -> None:
        del self._making[kind, checksum]
        if task.cancelled() or task.exception() is not None:
            return
        self._open[kind, checksum] = task.result()
        while len(self._open) > OPEN_MAX:
            self._open.popitem(last=False)

    async def _make(self, kind: Kind, checksum: bytes) -> Pack:
        loop = asyncio.get_running_loop()
        path = self._folder / kind / f"{checksum.hex()}.pack"
        try:
            return await loop.run_in_executor(self._threads, _reopen, path)
        except (OSError, Malformed):
            pass
        try:
            # A small file of the upstream is in memory before it is on the disk.
            archive = self._small.get(checksum)
            if archive is None:
                archive = await (await self._storage.open(checksum)).read()
            return await loop.run_in_executor(self._threads, self._unpack, kind, archive, path)
        except Malformed as error:
            raise NotFound(f"This archive cannot be read: {error}") from error

    def _unpack(self, kind: Kind, archive: bytes, path: Path) -> Pack:
        path.parent.mkdir(parents=True, exist_ok=True)
        files = archives.docs(archive) if kind == "docs" else archives.package(archive)
        pack = Pack.write(path, files)
        self._shrink()
        return pack

    def _shrink(self) -> None:
        """Delete the packs that were opened longest ago, until the rest fit."""
        packs = []
        for path in self._folder.glob("*/*.pack"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                packs.append((status.st_mtime, status.st_size, path))
        excess = sum(size for _, size, _ in packs) - self._size_max
        for _, size, path in sorted(packs)[:-1]:
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= size

    def close(self) -> None:
        """Close every pack."""
        for task in self._making.values():
            task.cancel()
        self._open.clear()

    def forget(self) -> None:
        """Delete all packs; they are made again when asked for."""
        self._open.clear()
        shutil.rmtree(self._folder, ignore_errors=True)


def _reopen(path: Path) -> Pack:
    pack = Pack.open(path)
    os.utime(path)
    return pack
