"""How an application sees the tables: a View to read, a Transaction to read and write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Protocol

from cluster import command, machine
from cluster.errors import KeyInvalid
from cluster.table import KEY_BYTES_MAX, R, Record, Schema, Table, after as behind, pack


class Reading(Protocol):
    """One moment of the rows as bytes."""

    def get(self, key: bytes) -> bytes | None: ...
    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]: ...
    def applied(self) -> int: ...
    def leave(self) -> None: ...


class View:
    """One moment of the tables, inside `with`. Cheap; never await while it is open.

    A key that no row can have (a NUL, too long) is a row that is not there.
    """

    __slots__ = ("_open", "_rows", "_schema")

    def __init__(self, open_reading: Callable[[], Reading], schema: Schema) -> None:
        self._open = open_reading
        self._schema = schema
        self._rows: Reading

    def __enter__(self) -> View:
        self._rows = self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._rows.leave()

    @property
    def applied(self) -> int:
        """The log index up to which this moment knows."""
        return self._rows.applied()

    def get(self, record: type[R], *key: str) -> R | None:
        """The row with exactly this key."""
        table = self._schema.of(record)
        packed = _key(table, key)
        return None if packed is None else self._get(table, packed)

    def scan(
        self,
        record: type[R],
        *prefix: str,
        after: tuple[str, ...] | None = None,
        reverse: bool = False,
    ) -> Iterator[R]:
        """Rows whose key starts with these parts, in key order or backwards.

        `after` is a key, or its leading parts, to go on behind (before it when `reverse`).
        """
        table = self._schema.of(record)
        bounds = _bounds(table.prefix, prefix, after, reverse)
        return self._scan(table, *bounds, reverse) if bounds else iter(())

    def find(self, record: type[R], index: str, *prefix: str, reverse: bool = False) -> Iterator[R]:
        """Rows whose values in this index start with these parts, in the index's order."""
        table = self._schema.of(record)
        bounds = _bounds(table.indexes[index].prefix, prefix, None, reverse)
        return self._find(table, index, *bounds, reverse) if bounds else iter(())

    def count(self, record: type[R], *prefix: str) -> int:
        """How many rows have a key that starts with these parts."""
        table = self._schema.of(record)
        bounds = _bounds(table.prefix, prefix, None, False)
        return self._count(table, *bounds) if bounds else 0

    def _get(self, table: Table[R], key: bytes) -> R | None:
        row = self._rows.get(key)
        return None if row is None else table.decode(machine.record_of(row))

    def _scan(self, table: Table[R], start: bytes, stop: bytes, reverse: bool) -> Iterator[R]:
        for _, row in self._rows.scan(start, stop, reverse=reverse):
            yield table.decode(machine.record_of(row))

    def _find(
        self, table: Table[R], index: str, start: bytes, stop: bytes, reverse: bool
    ) -> Iterator[R]:
        for _, row in self._rows.scan(start, stop, reverse=reverse):
            found = self._rows.get(machine.key_of_index_row(row))
            if found is not None:
                yield table.decode(machine.record_of(found))

    def _count(self, table: Table[R], start: bytes, stop: bytes) -> int:
        return sum(1 for _ in self._rows.scan(start, stop))


class _Watched:
    """A range as far as it was looked at. Only that much has to hold when the entry is applied."""

    __slots__ = ("newest", "rows", "start", "stop")

    def __init__(self, start: bytes, stop: bytes, reverse: bool) -> None:
        self.start, self.stop = (stop, stop) if reverse else (start, start)
        self.rows = self.newest = 0

    def saw(self, key: bytes, row: bytes, reverse: bool) -> None:
        self.rows += 1
        self.newest = max(self.newest, machine.changed_at(row))
        if reverse:
            self.start = key
        else:
            self.stop = key + b"\x00"


class _Put:
    """A write of this transaction that is not proposed yet."""

    __slots__ = ("index_keys", "record", "value")

    def __init__(
        self, record: Any | None, value: bytes | None = None, index_keys: tuple[bytes, ...] = ()
    ) -> None:
        self.record = record
        self.value = value
        self.index_keys = index_keys


class Transaction(View):
    """A View that remembers what it read, collects what to write, and reads its own writes.

    A scan sees the writes made before it began.
    """

    __slots__ = ("_points", "_ranges", "_seen", "_writes")

    def __init__(self, open_reading: Callable[[], Reading], schema: Schema) -> None:
        super().__init__(open_reading, schema)
        self._points: dict[bytes, int] = {}
        self._seen: dict[bytes, Any] = {}
        self._ranges: list[_Watched] = []
        self._writes: dict[bytes, _Put] = {}

    def __enter__(self) -> Transaction:
        super().__enter__()
        return self

    def put(self, record: Record) -> None:
        """Write this record over the row with its key. KeyInvalid when it cannot be a key."""
        table = self._schema.of(type(record))
        key = table.key_of(record)
        index_keys = table.index_keys_of(record, key)
        self._writes[key] = _Put(record, table.encode(record), index_keys)

    def delete(self, record: Record) -> None:
        """Delete the row with this record's key, if there is one."""
        self._writes[self._schema.of(type(record)).key_of(record)] = _Put(None)

    def writes(self) -> tuple[command.Write, ...]:
        return tuple(
            command.Write(key, put.value, put.index_keys) for key, put in self._writes.items()
        )

    def commit(self) -> command.Commit | None:
        """The word this transaction asks the log for; None when it wrote nothing."""
        if not self._writes:
            return None
        return command.Commit(
            tuple(command.Point(key, index) for key, index in self._points.items()),
            tuple(
                command.Range(one.start, one.stop, one.rows, one.newest)
                for one in self._ranges
                if one.start < one.stop
            ),
            self.writes(),
        )

    def _get(self, table: Table[R], key: bytes) -> R | None:
        if (own := self._writes.get(key)) is not None:
            return own.record
        if key not in self._seen:
            row = self._rows.get(key)
            self._points[key] = machine.changed_at(row)
            self._seen[key] = None if row is None else table.decode(machine.record_of(row))
        found: R | None = self._seen[key]
        return found

    def _scan(self, table: Table[R], start: bytes, stop: bytes, reverse: bool) -> Iterator[R]:
        written = {key: put for key, put in self._writes.items() if start <= key < stop}
        own = [(key, put.record) for key, put in written.items() if put.record is not None]
        stored = (
            (key, row) for key, row in self._watch(start, stop, reverse) if key not in written
        )
        for record, row in _merge(own, stored, reverse):
            yield table.decode(machine.record_of(row)) if record is None else record

    def _find(
        self, table: Table[R], index: str, start: bytes, stop: bytes, reverse: bool
    ) -> Iterator[R]:
        written = dict(self._writes)
        own = [
            (key, put.record)
            for put in written.values()
            for key in put.index_keys
            if start <= key < stop
        ]
        stored = (
            (key, row)
            for key, row in self._watch(start, stop, reverse)
            if machine.key_of_index_row(row) not in written
        )
        for record, row in _merge(own, stored, reverse):
            if record is not None:
                yield record
            elif (found := self._rows.get(machine.key_of_index_row(row))) is not None:
                yield table.decode(machine.record_of(found))

    def _count(self, table: Table[R], start: bytes, stop: bytes) -> int:
        written = {key: put for key, put in self._writes.items() if start <= key < stop}
        stored = sum(1 for key, _ in self._watch(start, stop, False) if key not in written)
        return stored + sum(1 for put in written.values() if put.record is not None)

    def _watch(self, start: bytes, stop: bytes, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
        watched = _Watched(start, stop, reverse)
        self._ranges.append(watched)
        for key, row in self._rows.scan(start, stop, reverse=reverse):
            watched.saw(key, row, reverse)
            yield key, row
        watched.start, watched.stop = start, stop


def _merge(
    own: list[tuple[bytes, Any]], stored: Iterator[tuple[bytes, bytes]], reverse: bool
) -> Iterator[tuple[Any | None, bytes]]:
    """Written records and stored rows (never of the same key), in one order."""
    own.sort(key=lambda item: item[0], reverse=not reverse)  # the next one is the last
    for key, row in stored:
        while own and (own[-1][0] > key if reverse else own[-1][0] < key):
            yield own.pop()[1], b""
        yield None, row
    while own:
        yield own.pop()[1], b""


def _key(table: Table[Any], parts: tuple[str, ...]) -> bytes | None:
    if len(parts) != len(table.key):
        raise TypeError(f"the key of {table.name!r} is {table.key}, not {len(parts)} parts")
    try:
        key = table.prefix + pack(parts)
    except KeyInvalid:
        return None
    return key if len(key) <= KEY_BYTES_MAX else None


def _bounds(
    head: bytes, prefix: tuple[str, ...], follow: tuple[str, ...] | None, reverse: bool
) -> tuple[bytes, bytes] | None:
    """The range of keys that start with `prefix`; None when none can."""
    try:
        start = head + pack(prefix)
        stop = behind(start)
        if follow and reverse:
            stop = min(stop, head + pack(follow))
        elif follow:
            start = max(start, behind(head + pack(follow)))
    except KeyInvalid:
        return None
    if len(start) > KEY_BYTES_MAX or len(stop) > KEY_BYTES_MAX or start >= stop:
        return None
    return start, stop
