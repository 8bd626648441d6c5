"""What a table is: a name, a record type, the fields that make its key, and its indexes.

Declarations and packing only: nothing here reads or writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, dataclass_transform

import msgspec

from cluster.errors import KeyInvalid

if TYPE_CHECKING:
    from cluster.view import Transaction

KEY_BYTES_MAX = 511
"""What LMDB takes as a key, the table's name and separators included."""

SEPARATOR = b"\x00"
AFTER = b"\x01"
"""In the place of a key's last separator: the first key after everything that starts with it."""

NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row. Immutable: change one with `msgspec.structs.replace`.

    Rows outlive the code that wrote them: add fields with defaults, never re-use or re-type one.
    """


R = TypeVar("R", bound=Record)


class Index:
    """Another order of a table: rows by the values of these attributes, then by key."""

    __slots__ = ("attributes", "name", "prefix")

    def __init__(self, table: str, name: str, attributes: tuple[str, ...]) -> None:
        self.name = name
        self.attributes = attributes
        self.prefix = f"{table}.{name}".encode() + SEPARATOR

    def keys_of(self, record: Record, key: bytes) -> Iterator[bytes]:
        """The keys of this index's rows for a record whose packed key parts are `key`.

        A value of None leaves the record out; a tuple of strings makes a row for each.
        """
        packed = [self.prefix]
        for attribute in self.attributes:
            value = getattr(record, attribute)
            if value is None:
                return
            if isinstance(value, tuple):
                parts = [pack((part,)) for part in dict.fromkeys(value)]
                packed = [head + part for head in packed for part in parts]
            else:
                part = pack((value,))
                packed = [head + part for head in packed]
        for head in packed:
            yield bounded(head + key)


class Table(Generic[R]):
    """One declared table. `prefix` opens the packed key of each of its rows."""

    __slots__ = ("_decode", "_encode", "indexes", "key", "name", "prefix", "record")

    def __init__(
        self,
        name: str,
        record: type[R],
        key: tuple[str, ...],
        indexes: Mapping[str, tuple[str, ...]],
    ) -> None:
        self.name = name
        self.record = record
        self.key = key
        self.prefix = name.encode() + SEPARATOR
        self.indexes = {
            index: Index(name, index, attributes) for index, attributes in indexes.items()
        }
        self._decode = msgspec.msgpack.Decoder(record).decode
        self._encode = msgspec.msgpack.Encoder().encode

    def key_of(self, record: R) -> bytes:
        """The packed key of this record's row; KeyInvalid when it cannot be one."""
        return bounded(self.prefix + pack(tuple(getattr(record, field) for field in self.key)))

    def index_keys_of(self, record: R, key: bytes) -> tuple[bytes, ...]:
        """The keys of all index rows of a record with this packed key."""
        own = key[len(self.prefix) :]
        return tuple(
            found for index in self.indexes.values() for found in index.keys_of(record, own)
        )

    def encode(self, record: R) -> bytes:
        return self._encode(record)

    def decode(self, value: bytes) -> R:
        return self._decode(value)


Migration = Callable[["Transaction"], None]


class Schema:
    """The tables of one application, in one place, under one number.

    Raise the number whenever the meaning of stored rows changes, and register a migration that
    takes the rows from the number before.
    """

    def __init__(self, number: int = 1) -> None:
        self.number = number
        self.migrations: dict[int, Migration] = {}
        self._tables: dict[type[Record], Table[Any]] = {}
        self._names: dict[str, Table[Any]] = {}

    def table(
        self,
        name: str,
        *,
        key: tuple[str, ...],
        indexes: Mapping[str, tuple[str, ...]] | None = None,
    ) -> Callable[[type[R]], type[R]]:
        """Declare the decorated record as a table.

        `key` names fields of type str. `indexes` maps a name to an ordered tuple of attributes
        (fields or properties) whose values are str, None or, at most one of them, a tuple of str.
        """

        def declare(record: type[R]) -> type[R]:
            _check(name, record, key, indexes or {})
            if name in self._names or record in self._tables:
                raise TypeError(f"table {name!r} or record {record.__name__} is declared twice")
            self._tables[record] = self._names[name] = Table(name, record, key, indexes or {})
            return record

        return declare

    def migration(self, number: int) -> Callable[[Migration], Migration]:
        """Register what takes the rows from schema `number - 1` to `number`."""

        def register(migration: Migration) -> Migration:
            if not 1 < number <= self.number or number in self.migrations:
                raise TypeError(f"schema {self.number} has no place for a migration to {number}")
            self.migrations[number] = migration
            return migration

        return register

    def of(self, record: type[R]) -> Table[R]:
        return self._tables[record]

    def named(self, name: str) -> Table[Any] | None:
        return self._names.get(name)

    @property
    def shape(self) -> dict[str, dict[str, list[str]]]:
        """The indexes of every table: stored rows are indexed anew when this changes."""
        return {
            table.name: {index.name: list(index.attributes) for index in table.indexes.values()}
            for table in self
        }

    def __iter__(self) -> Iterator[Table[Any]]:
        return iter(self._tables.values())


def _check(
    name: str, record: type[Record], key: tuple[str, ...], indexes: Mapping[str, tuple[str, ...]]
) -> None:
    for word in (name, *indexes):
        if not NAME.fullmatch(word):
            raise TypeError(f"{word!r} is no name for a table or an index")
    if not key:
        raise TypeError(f"table {name!r} has no key")
    if unknown := set(key) - set(record.__struct_fields__):
        raise TypeError(f"{record.__name__} has no field {sorted(unknown)}")
    for index, attributes in indexes.items():
        if missing := [one for one in attributes if not hasattr(record, one)]:
            raise TypeError(f"index {index!r}: {record.__name__} has no {missing}")


def pack(parts: tuple[str, ...]) -> bytes:
    """Join key parts so that the bytes sort part by part, each by code point."""
    try:
        packed = "\x00".join(parts).encode()
    except UnicodeEncodeError:
        raise KeyInvalid("a key part holds a lone surrogate") from None
    if packed.count(SEPARATOR) != max(len(parts) - 1, 0):
        raise KeyInvalid("a key part holds a NUL")
    return packed + SEPARATOR if parts else b""


def unpack(packed: bytes) -> tuple[str, ...]:
    """The parts of a packed key, the table's name first."""
    return tuple(packed[:-1].decode().split("\x00"))


def bounded(key: bytes) -> bytes:
    """The key itself; KeyInvalid when it is longer than LMDB allows."""
    if len(key) > KEY_BYTES_MAX:
        raise KeyInvalid(f"a key of {len(key)} bytes, more than {KEY_BYTES_MAX}")
    return key


def after(prefix: bytes) -> bytes:
    """The end (not included) of the keys that start with this packed prefix."""
    return prefix[:-1] + AFTER
