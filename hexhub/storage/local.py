"""Objects in a local folder: `ab/abcd…` by hex checksum, each written once and verified.

Durable before it counts: the file is synced, renamed into place, and its folder synced.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from hexhub.errors import NotFound, StorageFull, Unavailable
from hexhub.storage import Spooled

P = ParamSpec("P")
T = TypeVar("T")

CHUNK = 1 << 20
OBJECT_NAME = re.compile(r"[0-9a-f]{64}")
PARTIAL = ".partial"
"""What the name of an object ends with while it is copied from another file system."""
VERIFIED_MAX = 100_000
"""How many checksums are remembered as verified by this process."""


class Damaged(Unavailable):
    """A stored object that no longer has its checksum, or is gone."""


class _Run(Protocol):
    async def __call__(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...


class LocalBlob:
    def __init__(self, path: Path, size: int, run: _Run) -> None:
        self.path: Path | None = path
        self._file = path
        self.size = size
        self._run = run

    async def read(self) -> bytes:
        return await self._run(self._file.read_bytes)

    async def chunks(self, start: int, end: int) -> AsyncIterator[bytes]:
        descriptor = await self._run(os.open, self._file, os.O_RDONLY)
        try:
            while start < end:
                piece = await self._run(os.pread, descriptor, min(CHUNK, end - start), start)
                if not piece:
                    raise Damaged(f"{self._file.name} ended early")
                start += len(piece)
                yield piece
        finally:
            os.close(descriptor)


class LocalStorage:
    def __init__(self, folder: Path, *, threads: int = 12) -> None:
        self._folder = folder
        self._executor = ThreadPoolExecutor(threads, "storage")
        self._verified: OrderedDict[bytes, None] = OrderedDict()
        # A sweep must not take an object between "it is here already" and its first reference.
        self._lock = threading.Lock()
        self._damaged: set[bytes] = set()
        self.repaired = 0
        self.behind = 0
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def damaged(self) -> int:
        return len(self._damaged)

    async def put(self, spooled: Spooled) -> None:
        try:
            await self._run(self._put, spooled)
        except OSError as error:
            raise full_or(error) from error

    async def keep(self, spooled: Spooled) -> None:
        await self.put(spooled)

    async def renew(self, checksum: bytes, size: int) -> bool:
        """Whether this object is here and sound; if so it is young again."""
        return await self._run(self._renew, checksum, size)

    def _renew(self, checksum: bytes, size: int) -> bool:
        path = self._path(checksum)
        return self._touch(path, size) and self._sound(path, checksum)

    async def missing(self, checksums: Iterable[bytes]) -> list[bytes]:
        """Which of these objects are not here."""
        return await self._run(self._missing, list(checksums))

    def _missing(self, checksums: list[bytes]) -> list[bytes]:
        return [checksum for checksum in checksums if not self._path(checksum).exists()]

    def _put(self, spooled: Spooled) -> None:
        target = self._path(spooled.checksum)
        if self._renew(spooled.checksum, spooled.size):
            spooled.path.unlink(missing_ok=True)
            return
        if spooled.data is None:
            _sync(spooled.path)
        else:
            _write(spooled.path, spooled.data)
        try:
            _move(spooled.path, target)
        except FileNotFoundError:
            target.parent.mkdir(exist_ok=True)
            sync_folder(self._folder)
            _move(spooled.path, target)
        sync_folder(target.parent)
        if spooled.checksum in self._damaged:
            self._damaged.discard(spooled.checksum)
            self.repaired += 1

    def _touch(self, target: Path, size: int) -> bool:
        """Whether an object is here; it counts as young again, so that no sweep takes it now."""
        with self._lock:
            try:
                if target.stat().st_size != size:
                    return False
                os.utime(target)
            except FileNotFoundError:
                return False
        return True

    async def open(self, checksum: bytes) -> LocalBlob:
        return await self._run(self._open, checksum)

    def _open(self, checksum: bytes) -> LocalBlob:
        path = self._path(checksum)
        try:
            size = path.stat().st_size
            if checksum not in self._verified:
                self._verify(path, checksum)
        except FileNotFoundError:
            raise NotFound from None
        return LocalBlob(path, size, self._run)

    def _sound(self, path: Path, checksum: bytes) -> bool:
        """Whether what is here may stay: a damaged object gives way to a good copy."""
        try:
            if checksum not in self._verified:
                self._verify(path, checksum)
        except Damaged:
            return False
        return True

    def _verify(self, path: Path, checksum: bytes) -> None:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").digest() != checksum:
                self._damaged.add(checksum)
                raise Damaged(f"{path.name} does not have its checksum any more")
        if checksum in self._damaged:  # somebody put a good copy in its place
            self._damaged.discard(checksum)
            self.repaired += 1
        self._verified[checksum] = None
        while len(self._verified) > VERIFIED_MAX:
            self._verified.popitem(last=False)

    async def sweep(self, keep: Iterable[bytes], *, older_than_s: float, applied: int = 0) -> int:
        return await self._run(self._sweep, {name.hex() for name in keep}, older_than_s)

    def _sweep(self, keep: set[str], older_than_s: float) -> int:
        deleted = 0
        oldest = time.time() - older_than_s
        for path in self._folder.glob("??/*"):
            # What has another name is none of ours: `lost+found`, what a backup left.
            name = path.name.removesuffix(PARTIAL)
            if path.name in keep or not OBJECT_NAME.fullmatch(name):
                continue
            with self._lock:
                if path.stat().st_mtime < oldest:
                    path.unlink()
                    self._verified.pop(bytes.fromhex(name), None)
                    self._damaged.discard(bytes.fromhex(name))
                    deleted += 1
        return deleted

    async def redirect(self, checksum: bytes) -> str | None:
        return None

    async def names(self) -> AsyncIterator[tuple[bytes, int, datetime]]:
        """Checksum, size and time of every object here."""
        for found in await self._run(self._names):
            yield found

    def _names(self) -> list[tuple[bytes, int, datetime]]:
        found = []
        for path in self._folder.glob("??/*"):
            if OBJECT_NAME.fullmatch(path.name):
                state = path.stat()
                moment = datetime.fromtimestamp(state.st_mtime, UTC)
                found.append((bytes.fromhex(path.name), state.st_size, moment))
        return found

    async def erase(self, checksum: bytes) -> None:
        await self.drop(checksum)

    async def drop(self, checksum: bytes) -> None:
        """Delete an object that can be had again; a file that is being read stays readable."""
        await self._run(self._drop, checksum)

    def _drop(self, checksum: bytes) -> None:
        with self._lock:
            self._path(checksum).unlink(missing_ok=True)
            self._verified.pop(checksum, None)
            self._damaged.discard(checksum)

    async def writable(self) -> bool:
        return not is_read_only(self._folder)

    async def close(self) -> None:
        self._executor.shutdown(wait=True)

    def _path(self, checksum: bytes) -> Path:
        name = checksum.hex()
        return self._folder / name[:2] / name

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, partial(work, *args, **kwargs)
        )


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _write(path: Path, data: bytes) -> None:
    """Make a private file of these bytes, durably; none when that fails.

    Each call to the system lets other threads run and waits for its turn afterwards, so there are
    few: the file is opened to be synced with each write.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_SYNC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _move(path: Path, target: Path) -> None:
    """Give a file its place, on another file system too. Raises FileNotFoundError without a folder."""
    try:
        os.rename(path, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(path, target)


def _copy(path: Path, target: Path) -> None:
    """Move a file from another file system: STORAGE_PATH need not lie on the one of DATA_DIR."""
    partial_path = target.with_name(target.name + PARTIAL)
    try:
        shutil.copyfile(path, partial_path)
        _sync(partial_path)
        partial_path.replace(target)
    except OSError:
        partial_path.unlink(missing_ok=True)
        raise
    path.unlink()


def sync_folder(folder: Path) -> None:
    """Make renames and new files in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def full_or(error: OSError) -> Exception:
    """The error to raise for a failed write: StorageFull when there is no room."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageFull("no space left to store this")
    if error.errno == errno.EROFS:
        return Unavailable("the disk is read-only")
    return error


def is_read_only(folder: Path) -> bool:
    """Whether no file can be made in a folder, because of its file system or because it is gone."""
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR):  # no file without a name: look closely
            return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
        return error.errno in (errno.EROFS, errno.ENOENT, errno.EACCES)
    return False
