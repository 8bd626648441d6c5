"""The words of the log.

An entry is bytes on every member for ever, so a word is added, never changed. The first byte of
an entry is the version of the words in it:

version 1: Commit, Stage, Migrate
"""

from __future__ import annotations

import msgspec

from cluster.errors import SchemaTooNew

VERSION = 1
PROPOSAL_ID_BYTES = 16


class Point(msgspec.Struct, frozen=True, array_like=True):
    """A row a transaction looked at: the index of its last change, 0 when there was no row."""

    key: bytes
    index: int


class Range(msgspec.Struct, frozen=True, array_like=True):
    """The rows from `start` up to `stop` (not included): how many, and their newest change."""

    start: bytes
    stop: bytes
    rows: int
    newest: int


class Write(msgspec.Struct, frozen=True, array_like=True):
    """A row to put, with the keys of its index rows; to delete when `value` is None."""

    key: bytes
    value: bytes | None
    index_keys: tuple[bytes, ...] = ()


class Commit(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Make these writes, if everything read is still as it was."""

    points: tuple[Point, ...]
    ranges: tuple[Range, ...]
    writes: tuple[Write, ...]


class Stage(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Put one part of a migration aside. Part 0 throws away what another one left."""

    migration: bytes
    part: int
    writes: tuple[Write, ...]


class Migrate(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Make all staged writes of a migration at once, and be at this schema from here on."""

    migration: bytes
    parts: int
    number: int
    shape: bytes


Word = Commit | Stage | Migrate


class Proposal(msgspec.Struct, frozen=True, array_like=True):
    """A word under an id: proposed again after a lost answer, it is applied once."""

    id: bytes
    word: Word


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Proposal, ...]).decode
_writes = msgspec.msgpack.Decoder(tuple[Write, ...]).decode


def encode(proposal: Proposal) -> bytes:
    """One proposal, to be joined with others into an entry."""
    return _encode(proposal)


def join(proposals: list[bytes]) -> bytes:
    """An entry of these encoded proposals, applied in this order."""
    return bytes((VERSION, 0xDD)) + len(proposals).to_bytes(4, "big") + b"".join(proposals)


def decode(entry: bytes) -> tuple[Proposal, ...]:
    """The proposals of an entry. SchemaTooNew when it uses words this code does not know."""
    if entry[:1] != bytes((VERSION,)):
        raise SchemaTooNew("the log holds an entry written by a newer version of this program")
    try:
        return _decode(entry[1:])
    except msgspec.MsgspecError as error:
        raise SchemaTooNew(f"the log holds an entry this program cannot read: {error}") from None


def encode_writes(writes: tuple[Write, ...]) -> bytes:
    return _encode(writes)


def decode_writes(data: bytes) -> tuple[Write, ...]:
    return _writes(data)
