"""Files and folders that survive a crash: written whole, or not at all."""

from __future__ import annotations

import errno
import os
from bisect import bisect_left
from contextlib import suppress
from pathlib import Path
from typing import Final


class Durations:
    """How often something took how long. One thread adds, any may look."""

    BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
    """Seconds; the last count is of what took longer than all."""

    def __init__(self) -> None:
        self.counts = [0] * (len(self.BOUNDS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(self.BOUNDS, seconds)] += 1
        self.seconds += seconds


def free_bytes(path: Path) -> int:
    """What this process may still write on the disk of `path`."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def used_bytes(folder: Path) -> int:
    """Blocks that the files below a folder take on disk: those of tables have holes."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # it may go meanwhile
            total += path.stat().st_blocks * 512
    return total


def is_read_only(path: Path) -> bool:
    """Whether this file, which is there, cannot be opened to write to it.

    A file system that failed (ext4 with `errors=remount-ro`) tells so in no other cheap way.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.errno == errno.EROFS
    return False


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` at `path`, so that after a crash there is the old file or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_directory(path.parent)


def copy_file(source: Path, target: Path) -> None:
    """A durable copy of a file."""
    with source.open("rb") as read, target.open("wb") as write:
        while chunk := read.read(1 << 20):
            write.write(chunk)
        write.flush()
        os.fsync(write.fileno())
    sync_directory(target.parent)


def sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_tree(path: Path) -> None:
    """Remove one environment's folder; nothing when there is none."""
    if path.is_dir():
        for child in path.iterdir():
            child.unlink()
        path.rmdir()
