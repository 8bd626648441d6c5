"""Files and folders that survive a crash: written whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def free_bytes(path: Path) -> int:
    """What this process may still write on the disk of `path`."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


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
