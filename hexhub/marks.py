"""Numbers that all processes of a node see at once: what has changed, and until when its lease holds.

Written by the main process alone. What is kept from rows is kept with the numbers it was made
under, and holds while they stay: a number moves before anyone hears that a change is applied. Each
is one aligned word, so no process reads half of one, and a process that hears of a change by any
message reads the new number.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import threading
import time
from collections.abc import Iterable

EVERYTHING, NETWORKS, LEASE = range(3)
"""Words of their own: any change at all may matter; the rules about addresses; the lease."""
FIRST = 8
SLOTS = 1 << 16
SIZE = 8 * (FIRST + SLOTS)

Stamp = tuple[tuple[int, int], ...]
"""Words by their place, and the numbers they had."""


class Marks:
    """The numbers. `fd` is that of another process's; without one they are made."""

    def __init__(self, fd: int | None = None) -> None:
        self.fd = _memory() if fd is None else fd
        self._map = mmap.mmap(self.fd, SIZE)
        self._words = memoryview(self._map).cast("Q")
        self._lock = threading.Lock()

    def move(self, places: Iterable[int]) -> None:
        """Note that something changed; from any thread of the main process."""
        with self._lock:
            for place in places:
                self._words[place] += 1

    def number(self, place: int) -> int:
        return self._words[place]

    def stamp(self, places: Iterable[int]) -> Stamp:
        """The numbers of now, to be taken before looking at what they stand for."""
        return tuple((place, self._words[place]) for place in places)

    def holds(self, stamp: Stamp) -> bool:
        """Whether nothing of what this stands for has changed."""
        words = self._words
        for place, number in stamp:  # noqa: SIM110 - a generator would cost more than the rest
            if words[place] != number:
                return False
        return True

    def lend(self, seconds: float) -> None:
        """Let reads with credentials be answered for so long without asking; 0 to end it."""
        until = time.monotonic_ns() + int(seconds * 1e9) if seconds > 0 else 0
        self._words[LEASE] = until

    def lent(self) -> bool:
        """Whether the lease holds; the monotonic clock is one for all processes of a machine."""
        return time.monotonic_ns() < self._words[LEASE]

    def close(self) -> None:
        self._words.release()
        self._map.close()
        os.close(self.fd)


def place(*parts: str) -> int:
    """The word of something named. Two may share one, and then change together."""
    return FIRST + hash(parts) % SLOTS


def _memory() -> int:
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("hexhub-marks", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, SIZE)
    return fd
