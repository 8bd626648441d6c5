"""Disks that lose what was not synced: the journal's environment and the rows, in memory."""

from __future__ import annotations

import bisect
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from cluster import machine
from cluster.disk import Patience
from cluster.machine import Applied, Space

Tables = dict[int, dict[bytes, bytes]]


class MemoryLog:
    """What `cluster.disk.Log` is, as of the last sync."""

    def __init__(self) -> None:
        self.stored: dict[int, bytes] = {}
        self.named: dict[bytes, bytes] = {}
        self.order: list[int] = []

    def entries(self, start: int = 0, stop: int = 1 << 63) -> Iterator[tuple[int, bytes]]:
        first = bisect.bisect_left(self.order, start)
        for index in self.order[first : bisect.bisect_left(self.order, stop)]:
            yield index, self.stored[index]

    def be_patient(self, patience: Patience) -> None:
        """No disk of the simulator becomes read-only."""

    def size(self) -> int:
        return 0

    def values(self) -> dict[bytes, bytes]:
        return dict(self.named)

    def write(
        self,
        cut: tuple[int, int] | None,
        drop: tuple[int, int] | None,
        entries: Iterable[tuple[int, bytes]],
        values: dict[bytes, bytes],
    ) -> None:
        added = list(entries)
        for span in (cut, drop):
            for index in range(*span) if span else ():
                self.stored.pop(index, None)
        self.stored.update(added)
        self.named.update(values)
        if added and cut == drop == (0, 0):
            self.order.extend(index for index, _ in added)
        else:
            self.order = sorted(self.stored)

    def close(self) -> None: ...


class _Rows:
    """Tables as the machine sees them."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, space: Space, key: bytes) -> bytes | None:
        return self._tables[space].get(key)

    def put(self, space: Space, key: bytes, value: bytes) -> None:
        self._tables[space][key] = value

    def delete(self, space: Space, key: bytes) -> None:
        self._tables[space].pop(key, None)

    def scan(self, space: Space, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        found = sorted(key for key in self._tables[space] if start <= key < stop)
        return ((key, self._tables[space][key]) for key in found)


class MemoryGeneration:
    """Rows read from a snapshot."""

    def __init__(self, path: Path) -> None:
        self.tables: Tables = msgspec.msgpack.decode(path.read_bytes(), type=Tables)
        self.applied = machine.applied(_Rows(self.tables))

    def discard(self) -> None: ...


class MemoryState:
    """What `cluster.disk.State` is. A kill takes nothing from it: rows are written, not synced."""

    def __init__(self) -> None:
        self.tables: Tables = {space: {} for space in Space}
        self.applied = (0, 0)
        self.noted: Callable[[int, bytes, Applied], None] = lambda index, entry, done: None

    def apply(self, index: int, term: int, entry: bytes) -> Applied:
        done = machine.apply(index, term, entry, _Rows(self.tables))
        self.applied = (index, term)
        self.noted(index, entry, done)
        return done

    def mark(self, index: int, term: int) -> None:
        machine.mark(index, term, _Rows(self.tables))
        self.applied = (index, term)

    def be_patient(self, patience: Patience) -> None:
        """No disk of the simulator becomes read-only."""

    def rows(self) -> dict[bytes, bytes]:
        return self.tables[Space.ROWS]

    def begin_copy(self) -> Callable[[int], None]:
        encoded = msgspec.msgpack.encode(self.tables)

        def copy(fd: int) -> None:
            os.write(fd, encoded)

        return copy

    def size(self) -> int:
        return 1000

    def sync(self) -> None: ...

    def prepare(self, copied: Path, *, check: bool = False) -> MemoryGeneration:
        return MemoryGeneration(copied)

    def switch(self, rows: MemoryGeneration) -> None:
        self.tables, self.applied = rows.tables, rows.applied

    def install(self, copied: Path) -> None:
        self.switch(self.prepare(copied))
