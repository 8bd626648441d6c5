"""A data directory has one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.errors import DataInUse

LOCK = "lock"


def take(directory: Path) -> int:
    """Lock the directory for this process until the descriptor is closed."""
    fd = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(fd, 32).decode("ascii", "replace").strip()
        os.close(fd)
        raise DataInUse(f"{directory} is in use by process {holder or 'unknown'}") from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


@contextmanager
def taken(directory: Path) -> Iterator[None]:
    """Hold it for a block. DataInUse."""
    fd = take(directory)
    try:
        yield
    finally:
        os.close(fd)
