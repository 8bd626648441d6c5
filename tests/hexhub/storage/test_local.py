"""Objects in a local folder: durable before they count, verified, swept with grace (design §5)."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hexhub.errors import NotFound, StorageFull, TooLarge, Unavailable
from hexhub.storage import Spooled
from hexhub.storage.local import LocalStorage
from hexhub.storage.spool import FLUSH_AT, Spool

DAY_S = 24 * 3600.0
MIB = 1024 * 1024


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
async def storage(folder: Path) -> AsyncIterator[LocalStorage]:
    opened = LocalStorage(folder)
    yield opened
    await opened.close()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


async def _chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _put(storage: LocalStorage, spool: Spool, body: bytes) -> bytes:
    async with spool.take(_chunks(body), 10 * MIB) as spooled:
        await storage.put(spooled)
    return hashlib.sha256(body).digest()


async def _read(storage: LocalStorage, checksum: bytes) -> bytes:
    blob = await storage.open(checksum)
    body = b"".join([piece async for piece in blob.chunks(0, blob.size)])
    assert body == await blob.read()
    return body


def _objects(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


def _path(folder: Path, checksum: bytes) -> Path:
    return folder / checksum.hex()[:2] / checksum.hex()


async def test_what_is_put_is_found_by_its_checksum(storage: LocalStorage, spool: Spool) -> None:
    for body in (b"", b"small", os.urandom(3 * MIB + 7)):
        checksum = await _put(storage, spool, body)
        assert await _read(storage, checksum) == body
    with pytest.raises(NotFound):
        await storage.open(hashlib.sha256(b"never put").digest())


async def test_parts_of_an_object_are_read(storage: LocalStorage, spool: Spool) -> None:
    body = os.urandom(2 * MIB + 5)
    blob = await storage.open(await _put(storage, spool, body))
    for start, end in ((0, 1), (10, 20), (MIB - 1, MIB + 1), (2 * MIB, len(body)), (5, 5)):
        assert b"".join([piece async for piece in blob.chunks(start, end)]) == body[start:end]


async def test_an_object_is_synced_before_it_has_its_name_and_the_folder_after(
    storage: LocalStorage, spool: Spool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real_open, real_fsync, real_rename = os.open, os.fsync, os.rename

    def opened(path: Any, flags: int, *mode: int) -> int:
        if flags & os.O_SYNC == os.O_SYNC:
            steps.append("synced as it is written")
        return real_open(path, flags, *mode)

    def fsync(descriptor: int) -> None:
        synced = os.readlink(f"/proc/self/fd/{descriptor}")
        steps.append("folder" if Path(synced).is_dir() else "file")
        real_fsync(descriptor)

    def rename(path: Path, target: Path) -> None:
        real_rename(path, target)
        steps.append("rename")

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    await _put(storage, spool, b"body")
    assert steps == ["file", "folder", "rename", "folder"]
    steps.clear()
    await storage.put(spool.small(b"a small one"))
    assert steps == ["synced as it is written", "folder", "rename", "folder"]
    assert len(_objects(folder)) == 2


async def test_an_object_is_kept_once(storage: LocalStorage, spool: Spool, folder: Path) -> None:
    checksum = await _put(storage, spool, b"body")
    first = _path(folder, checksum).stat().st_ino
    await _put(storage, spool, b"body")
    assert _path(folder, checksum).stat().st_ino == first
    assert len(_objects(folder)) == 1
    assert os.listdir(folder.parent / "spool") == []


async def test_the_same_object_put_many_times_at_once_is_whole(
    storage: LocalStorage, spool: Spool, folder: Path
) -> None:
    body = os.urandom(300_000)
    checksums = await asyncio.gather(*(_put(storage, spool, body) for _ in range(12)))
    assert len(set(checksums)) == 1
    assert await _read(storage, checksums[0]) == body
    assert len(_objects(folder)) == 1


@pytest.mark.parametrize("damage", [b"", b"bodY", b"body and more"])
async def test_a_damaged_object_is_refused_counted_and_replaced(
    storage: LocalStorage, spool: Spool, folder: Path, damage: bytes
) -> None:
    checksum = hashlib.sha256(b"body").digest()
    path = _path(folder, checksum)
    path.parent.mkdir(parents=True)
    path.write_bytes(damage)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await storage.open(checksum)
    assert storage.damaged == 1
    await _put(storage, spool, b"body")
    assert await _read(storage, checksum) == b"body"
    assert storage.damaged == 0


async def test_an_object_that_ends_early_while_it_is_read_is_told(
    storage: LocalStorage, spool: Spool, folder: Path
) -> None:
    checksum = await _put(storage, spool, bytes(3 * MIB))
    blob = await storage.open(checksum)
    os.truncate(_path(folder, checksum), MIB)
    with pytest.raises(Unavailable):
        async for _ in blob.chunks(0, blob.size):
            pass


def _age(path: Path, seconds: float) -> None:
    old = time.time() - seconds
    os.utime(path, (old, old))


async def test_a_sweep_takes_old_objects_that_nothing_points_to_and_no_others(
    storage: LocalStorage, spool: Spool, folder: Path
) -> None:
    kept = await _put(storage, spool, b"kept")
    old = await _put(storage, spool, b"old")
    young = await _put(storage, spool, b"young")
    for checksum in (kept, old):
        _age(_path(folder, checksum), 2 * DAY_S)
    assert await storage.sweep({kept}, older_than_s=DAY_S) == 1
    assert await _read(storage, kept) == b"kept"
    assert await _read(storage, young) == b"young"
    with pytest.raises(NotFound):
        await storage.open(old)


async def test_a_sweep_leaves_what_is_not_an_object(storage: LocalStorage, folder: Path) -> None:
    strangers = [folder / "ab" / "lost", folder / "ab" / ("z" * 64), folder / "ab" / ".nfs0001"]
    for stranger in strangers:
        stranger.parent.mkdir(exist_ok=True)
        stranger.write_bytes(b"x")
        _age(stranger, 2 * DAY_S)
    assert await storage.sweep(set(), older_than_s=DAY_S) == 0
    assert all(stranger.exists() for stranger in strangers)


async def test_putting_an_old_object_again_makes_it_young(
    storage: LocalStorage, spool: Spool, folder: Path
) -> None:
    """It is not referenced yet, and no sweep may take it before it is."""
    checksum = await _put(storage, spool, b"body")
    _age(_path(folder, checksum), 2 * DAY_S)
    await _put(storage, spool, b"body")
    assert await storage.sweep(set(), older_than_s=DAY_S) == 0
    assert await _read(storage, checksum) == b"body"


async def test_sweeps_and_puts_at_the_same_time_never_lose_what_was_just_put(
    storage: LocalStorage, spool: Spool, folder: Path
) -> None:
    checksum = hashlib.sha256(b"body").digest()
    for _ in range(40):
        await _put(storage, spool, b"body")
        _age(_path(folder, checksum), 2 * DAY_S)
        await asyncio.gather(
            storage.sweep(set(), older_than_s=DAY_S), _put(storage, spool, b"body")
        )
        assert await _read(storage, checksum) == b"body"


@pytest.mark.parametrize("kind", [errno.ENOSPC, errno.EDQUOT])
async def test_no_room_is_told_as_such_and_leaves_no_object(
    storage: LocalStorage,
    spool: Spool,
    folder: Path,
    kind: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(kind, os.strerror(kind))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull):
        await _put(storage, spool, b"body")
    monkeypatch.undo()
    assert _objects(folder) == []
    assert os.listdir(folder.parent / "spool") == []
    await _put(storage, spool, b"body")


async def test_objects_may_lie_on_another_file_system(
    storage: LocalStorage, spool: Spool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.replace

    def replace(self: Path, target: Any) -> Path:
        if "spool" in self.parts:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    checksum = await _put(storage, spool, b"body")
    assert await _read(storage, checksum) == b"body"
    assert _objects(folder) == [checksum.hex()]
    assert os.listdir(folder.parent / "spool") == []


# bodies on their way in


async def test_a_body_is_hashed_and_counted_on_its_way(spool: Spool) -> None:
    pieces = [os.urandom(FLUSH_AT // 3) for _ in range(7)]
    async with spool.take(_chunks(*pieces), 10 * MIB) as spooled:
        body = b"".join(pieces)
        assert spooled == Spooled(spooled.path, len(body), hashlib.sha256(body).digest())
        assert spooled.path.read_bytes() == body
        assert spooled.path.stat().st_mode & 0o077 == 0
    assert not spooled.path.exists()


async def test_a_body_above_the_limit_is_cut_off(spool: Spool, tmp_path: Path) -> None:
    for pieces in ((b"x" * 11,), (b"x" * 5, b"x" * 6)):
        with pytest.raises(TooLarge):
            async with spool.take(_chunks(*pieces), 10):
                pytest.fail("taken")
    async with spool.take(_chunks(b"x" * 10), 10) as spooled:
        assert spooled.size == 10
    assert os.listdir(tmp_path / "spool") == []


async def test_a_body_whose_sender_fails_is_gone(spool: Spool, tmp_path: Path) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"x" * 100
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        async with spool.take(failing(), 1000):
            pytest.fail("taken")
    assert os.listdir(tmp_path / "spool") == []


async def test_a_cancelled_body_is_gone_and_nothing_is_written_after(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of a closed file may be another upload's: no thread may still write to it."""
    real, writing, done = os.write, asyncio.Event(), []
    loop = asyncio.get_running_loop()

    def slow(descriptor: int, data: Any) -> int:
        loop.call_soon_threadsafe(writing.set)
        time.sleep(0.05)  # on a thread: the write takes its time
        done.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", slow)

    async def take() -> None:
        async with spool.take(_chunks(bytes(2 * FLUSH_AT)), 10 * MIB):
            pytest.fail("taken")

    task = asyncio.create_task(take())
    await writing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done
    assert all("spool" in path for path in done)
    assert os.listdir(tmp_path / "spool") == []


async def test_what_an_earlier_run_left_is_deleted(tmp_path: Path) -> None:
    left = tmp_path / "spool" / "left"
    left.parent.mkdir()
    left.write_bytes(b"x")
    Spool(tmp_path / "spool")
    assert not left.exists()
