"""Bringing stored rows to the schema of the code, by one entry in the log, after a snapshot."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator

import msgspec

from cluster import command
from cluster.disk import State
from cluster.errors import Damaged, SchemaTooNew
from cluster.machine import Outcome
from cluster.store import DEADLINE_SECONDS, Store
from cluster.table import Schema
from cluster.view import Transaction

PART_BYTES_MAX = 512 * 1024

_encode_shape = msgspec.msgpack.Encoder(order="sorted").encode


def refuse_newer(stored: int, schema: Schema) -> None:
    """SchemaTooNew when the rows are at a higher number than the code."""
    if stored > schema.number:
        raise SchemaTooNew(
            f"the data is at schema {stored}, this program knows {schema.number}: "
            "start the newer version, or restore a snapshot taken before it"
        )


def steps(stored: int, shape: bytes, schema: Schema) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The numbers to be migrated to, and the tables to be indexed anew."""
    if not stored:
        return (), ()
    before = msgspec.msgpack.decode(shape, type=dict[str, dict[str, list[str]]])
    now = schema.shape
    numbers = tuple(n for n in range(stored + 1, schema.number + 1) if n in schema.migrations)
    return numbers, tuple(
        table.name for table in schema if before.get(table.name, {}) != now[table.name]
    )


def is_current(state: State, schema: Schema) -> bool:
    """Whether the rows are at the schema of the code."""
    return state.read_schema() == (schema.number, _encode_shape(schema.shape))


async def migrate(store: Store, state: State, snapshot: Callable[[], Awaitable[object]]) -> None:
    """Run the migrations between the stored schema number and the code's, and index anew.

    All of it becomes visible at once; a crash before that leaves the old rows.
    """
    schema = store.schema
    stored, shape = state.read_schema()
    refuse_newer(stored, schema)
    wanted = _encode_shape(schema.shape)
    if (stored, shape) == (schema.number, wanted):
        return
    writes: tuple[command.Write, ...] = ()
    if stored:
        await snapshot()
        with Transaction(state.read, schema) as tx:
            numbers, indexed = steps(stored, shape, schema)
            for number in numbers:
                schema.migrations[number](tx)
            _index_anew(tx, schema, indexed)
            writes = tx.writes()
    await _propose(store, writes, schema.number, wanted)


def _index_anew(tx: Transaction, schema: Schema, indexed: tuple[str, ...]) -> None:
    for table in schema:
        if table.name in indexed:
            for record in tx.scan(table.record):
                tx.put(record)


async def _propose(
    store: Store, writes: tuple[command.Write, ...], number: int, shape: bytes
) -> None:
    migration = secrets.token_bytes(16)
    words: list[command.Word] = [
        command.Stage(migration, at, part) for at, part in enumerate(_parts(writes))
    ]
    words.append(command.Migrate(migration, len(words), number, shape))
    deadline = asyncio.get_running_loop().time() + DEADLINE_SECONDS * len(words)
    for word in words:
        if await store.propose(word, deadline) is not Outcome.COMMITTED:
            raise Damaged(f"the log refused the migration to schema {number}")


def _parts(writes: tuple[command.Write, ...]) -> Iterator[tuple[command.Write, ...]]:
    part: list[command.Write] = []
    size = 0
    for write in writes:
        part.append(write)
        size += len(write.key) + len(write.value or b"") + sum(map(len, write.index_keys))
        if size >= PART_BYTES_MAX:
            yield tuple(part)
            part, size = [], 0
    if part:
        yield tuple(part)
