"""The state machine: every member applies the same entries and reaches the same rows.

So nothing here may look at a clock, a random number, the network or the node it runs on, and
nothing here knows records: an entry brings the bytes of its rows and of their index rows.

Rows are bytes in five spaces:

    rows       packed key -> index of the last change (8) | length (4) | index keys | record
               packed index key -> index of the last change (8) | packed key
    proposals  proposal id -> index (8) | outcome (1)
    recent     index (8) -> the proposal ids of that entry, one after the other
    staged     part (4) -> migration id (16) | writes
    meta       applied -> index (8) | term (8);  schema -> number (8) | shape
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import msgspec

from cluster import command
from cluster.table import KEY_BYTES_MAX

REMEMBERED = 65_536
"""Entries whose proposal ids are remembered. Part of the log's meaning: the same everywhere."""

APPLIED = b"applied"
SCHEMA = b"schema"
HEADER = 12


class Space(IntEnum):
    META = 0
    ROWS = 1
    PROPOSALS = 2
    RECENT = 3
    STAGED = 4


class Outcome(IntEnum):
    COMMITTED = 0
    CONFLICT = 1
    REFUSED = 2


class Rows(Protocol):
    """The rows as bytes, inside one write."""

    def get(self, space: Space, key: bytes) -> bytes | None: ...
    def put(self, space: Space, key: bytes, value: bytes) -> None: ...
    def delete(self, space: Space, key: bytes) -> None: ...
    def scan(self, space: Space, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]: ...


class _Known:
    """Rows that are read once: a word looks at most of what it then writes over."""

    __slots__ = ("_found", "_rows")

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._found: dict[tuple[Space, bytes], bytes | None] = {}

    def get(self, space: Space, key: bytes) -> bytes | None:
        if (space, key) not in self._found:
            self._found[space, key] = self._rows.get(space, key)
        return self._found[space, key]

    def put(self, space: Space, key: bytes, value: bytes) -> None:
        self._found[space, key] = value
        self._rows.put(space, key, value)

    def delete(self, space: Space, key: bytes) -> None:
        self._found[space, key] = None
        self._rows.delete(space, key)

    def scan(self, space: Space, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self._rows.scan(space, start, stop)


@dataclass(frozen=True, slots=True)
class Applied:
    """What one entry did: each proposal's outcome, and the keys of the rows it changed."""

    index: int
    outcomes: tuple[tuple[bytes, Outcome], ...]
    changed: tuple[bytes, ...]


def apply(index: int, term: int, entry: bytes, rows: Rows) -> Applied:
    """Apply one committed entry. Raises only SchemaTooNew, for words this code does not know."""
    outcomes: list[tuple[bytes, Outcome]] = []
    changed: dict[bytes, None] = {}
    fresh = b""
    for proposal in command.decode(entry):
        known = rows.get(Space.PROPOSALS, proposal.id) if _well_formed(proposal) else b""
        if known is not None:
            outcome = Outcome(known[8]) if known else Outcome.REFUSED
        else:
            outcome = _apply_word(index, proposal.word, _Known(rows), changed)
            rows.put(Space.PROPOSALS, proposal.id, _u64(index) + bytes((outcome,)))
            fresh += proposal.id
        outcomes.append((proposal.id, outcome))
    if fresh:
        rows.put(Space.RECENT, _u64(index), fresh)
    _forget(index - REMEMBERED, rows)
    mark(index, term, rows)
    return Applied(index, tuple(outcomes), tuple(changed))


def mark(index: int, term: int, rows: Rows) -> None:
    """Note that everything up to here is applied; all an entry without words does."""
    rows.put(Space.META, APPLIED, _u64(index) + _u64(term))


def applied(rows: Rows) -> tuple[int, int]:
    """The index and term of the last applied entry; zeros before the first."""
    value = rows.get(Space.META, APPLIED)
    return (int.from_bytes(value[:8], "big"), int.from_bytes(value[8:], "big")) if value else (0, 0)


def schema_of(rows: Rows) -> tuple[int, bytes]:
    """The schema number the rows are at and the shape of their indexes; 0 before the first."""
    value = rows.get(Space.META, SCHEMA)
    return (int.from_bytes(value[:8], "big"), value[8:]) if value else (0, b"")


def changed_at(row: bytes | None) -> int:
    """The index of a row's last change; 0 for no row."""
    return int.from_bytes(row[:8], "big") if row else 0


def record_of(row: bytes) -> bytes:
    """The encoded record of a row."""
    return row[HEADER + int.from_bytes(row[8:HEADER], "big") :]


def key_of_index_row(row: bytes) -> bytes:
    """The packed key an index row points at."""
    return row[8:]


def _apply_word(index: int, word: command.Word, rows: Rows, changed: dict[bytes, None]) -> Outcome:
    match word:
        case command.Commit(points, ranges, writes):
            if not _holds(points, ranges, rows):
                return Outcome.CONFLICT
            for write in writes:
                _write(index, write, rows, changed)
        case command.Stage(migration, part, writes):
            if part == 0:
                _clear_staged(rows)
            rows.put(Space.STAGED, _u32(part), migration + command.encode_writes(writes))
        case command.Migrate(migration, parts, number, shape):
            staged = list(rows.scan(Space.STAGED, _u32(0), _u32(parts)))
            whole = len(staged) == parts and all(value[:16] == migration for _, value in staged)
            if not whole or schema_of(rows)[0] > number:
                return Outcome.CONFLICT
            for _, value in staged:
                for write in command.decode_writes(value[16:]):
                    _write(index, write, rows, changed)
            _clear_staged(rows)
            rows.put(Space.META, SCHEMA, _u64(number) + shape)
    return Outcome.COMMITTED


def _holds(
    points: tuple[command.Point, ...], ranges: tuple[command.Range, ...], rows: Rows
) -> bool:
    return all(
        changed_at(rows.get(Space.ROWS, point.key)) == point.index for point in points
    ) and all(_seen(one, rows) for one in ranges)


def _seen(one: command.Range, rows: Rows) -> bool:
    count = newest = 0
    for _, row in rows.scan(Space.ROWS, one.start, one.stop):
        count += 1
        newest = max(newest, changed_at(row))
        if count > one.rows or newest > one.newest:
            return False
    return (count, newest) == (one.rows, one.newest)


def _write(index: int, write: command.Write, rows: Rows, changed: dict[bytes, None]) -> None:
    old = rows.get(Space.ROWS, write.key)
    stale = set(_index_keys(old)) if old is not None else set()
    for index_key in stale.difference(write.index_keys):
        rows.delete(Space.ROWS, index_key)
    if write.value is not None:
        keys = msgspec.msgpack.encode(write.index_keys) if write.index_keys else b""
        head = _u64(index) + _u32(len(keys)) + keys
        rows.put(Space.ROWS, write.key, head + write.value)
        own = _u64(index) + write.key
        for index_key in write.index_keys:
            rows.put(Space.ROWS, index_key, own)
    elif old is not None:
        rows.delete(Space.ROWS, write.key)
    changed[write.key] = None


def _index_keys(row: bytes) -> tuple[bytes, ...]:
    length = int.from_bytes(row[8:HEADER], "big")
    if not length:
        return ()
    return msgspec.msgpack.decode(row[HEADER : HEADER + length], type=tuple[bytes, ...])


def _well_formed(proposal: command.Proposal) -> bool:
    """Whether every key can be stored: checked here too, for apply must never raise over data."""
    if len(proposal.id) != command.PROPOSAL_ID_BYTES:
        return False
    match proposal.word:
        case command.Commit(points, ranges, writes):
            keys = [point.key for point in points] + [one.start for one in ranges] + _keys(writes)
        case command.Stage(migration, part, writes):
            if len(migration) != 16 or not 0 <= part < 1 << 32:
                return False
            keys = _keys(writes)
        case command.Migrate(_, parts, number, _):
            return 0 <= parts < 1 << 32 and 0 < number < 1 << 63
    return all(0 < len(key) <= KEY_BYTES_MAX for key in keys)


def _keys(writes: tuple[command.Write, ...]) -> list[bytes]:
    return [key for write in writes for key in (write.key, *write.index_keys)]


def _forget(until: int, rows: Rows) -> None:
    if until <= 0:
        return
    for key, ids in list(rows.scan(Space.RECENT, _u64(0), _u64(until + 1))):
        for at in range(0, len(ids), command.PROPOSAL_ID_BYTES):
            rows.delete(Space.PROPOSALS, ids[at : at + command.PROPOSAL_ID_BYTES])
        rows.delete(Space.RECENT, key)


def _clear_staged(rows: Rows) -> None:
    for key, _ in list(rows.scan(Space.STAGED, b"", b"\xff" * 5)):
        rows.delete(Space.STAGED, key)


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "big")
