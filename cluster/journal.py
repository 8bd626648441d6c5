"""The log of one member, and what it must remember with it: term, vote, commit index, identity.

Speaks PySyncObj's Journal interface. What is added is in memory until `sync`, which makes all of
it durable in one transaction or none of it; nothing may be acknowledged, voted, or counted for a
commit before. Old entries stay on disk; only their terms and the newest commands are in memory.
"""

from __future__ import annotations

import time
import zlib
from array import array
from collections import deque
from collections.abc import Iterator
from typing import overload

import msgspec

from cluster import configuration
from cluster.configuration import MemberChange
from cluster.disk import Log, Patience
from cluster.errors import Damaged, SchemaTooNew
from cluster.files import Durations

Entry = tuple[bytes, int, int]
"""Command, index, term: what PySyncObj takes for an entry."""

FORMAT = 1
RECENT_BYTES_MAX = 4 << 20
NO_OP = b"\x01"


class Identity(msgspec.Struct, frozen=True):
    """Made with the disk, once: a wiped disk is another member."""

    cluster: str
    member: str
    members: tuple[str, ...]
    """The first configuration. Settings and discovery never change it afterwards."""
    format: int = FORMAT
    """Of everything in the directory; raised when older code could not read it rightly."""


class Journal:
    """Entries `first_index` to `last_index` without a hole; at least two once it has begun."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._terms = array("Q")
        self._sizes = array("I")
        self.first_index = 0
        self.bytes = 0
        self._recent: deque[bytes] = deque()  # the newest commands
        self._recent_bytes = 0
        self._unsynced = 0  # how many entries at the end are not on disk
        self._cut = self._drop = (0, 0)  # indexes to delete at the next sync
        self._values: dict[bytes, bytes] = {}  # to write at the next sync
        self.commit_floor = 0
        self.syncs = Durations()
        """How long the disk took to make entries durable."""
        self.changes: dict[int, MemberChange] = {}
        """Entries that change the members, by index."""
        self._base: tuple[int, tuple[str, ...]] = (1, ())
        self._load()

    def be_patient(self, patience: Patience) -> None:
        """What to do when the disk becomes read-only, instead of raising DiskReadOnly."""
        self._log.be_patient(patience)

    @property
    def size(self) -> int:
        """Bytes of the pages that it takes on disk, free ones too."""
        return self._log.size()

    def compact(self) -> None:
        """Give the room of entries that were cut off back to the disk."""
        self.sync()
        self._log.compact()

    def begin(self, base: tuple[Entry, Entry], identity: Identity) -> None:
        """Start an empty journal behind these two entries."""
        for entry in base:
            self.add(*entry)
        self._values[b"identity"] = msgspec.msgpack.encode(identity)
        self.identity = identity
        self.rebase(base[1][1], identity.members)
        self.sync()

    def renew(self, identity: Identity) -> None:
        """Be another member of another cluster from here on, with the same entries; durable."""
        self._values[b"identity"] = msgspec.msgpack.encode(identity)
        self.identity = identity
        self.rebase(self.last_index, identity.members)
        self.setCurrentTerm(self._term, None)

    def rebase(self, index: int, members: tuple[str, ...]) -> None:
        """Note who the members are after entry `index`: what is cut before it is not asked."""
        self._base = index, tuple(members)
        self._values[b"base"] = msgspec.msgpack.encode(self._base)

    def members_at(self, index: int) -> frozenset[str]:
        """Who the members are after entry `index`, and all up to it, committed or not (C8)."""
        start, members = self._base
        changes = [one for at, one in sorted(self.changes.items()) if start < at <= index]
        return configuration.fold(members, changes)

    def __len__(self) -> int:
        return len(self._terms)

    @property
    def last_index(self) -> int:
        return self.first_index + len(self._terms) - 1

    def term_at(self, index: int) -> int | None:
        """The term of an entry that is here; None for any other."""
        at = index - self.first_index
        return self._terms[at] if 0 <= at < len(self._terms) else None

    @overload
    def __getitem__(self, at: int) -> Entry: ...
    @overload
    def __getitem__(self, at: slice) -> list[Entry]: ...
    def __getitem__(self, at: int | slice) -> Entry | list[Entry]:
        if isinstance(at, slice):
            start, stop, _ = at.indices(len(self._terms))
            return list(self._entries(start, stop))
        count = len(self._terms)
        if at < 0:
            at += count
        if not 0 <= at < count:
            raise IndexError(at)
        recent = at - count + len(self._recent)
        if recent >= 0:
            return self._recent[recent], self.first_index + at, self._terms[at]
        return next(self._entries(at, at + 1))

    def run(self, start: int, count: int | None, size: int | None) -> list[Entry]:
        """Entries from index `start` on: at most `count`, and no more behind `size` bytes."""
        first = start - self.first_index
        if first < 0:
            return []
        stop = len(self._terms) if count is None else min(first + count, len(self._terms))
        if size is not None:
            total = 0
            for at in range(first, stop):
                total += self._sizes[at]
                if total >= size:
                    stop = at + 1
                    break
        return list(self._entries(first, stop))

    def add(self, command: bytes, idx: int, term: int) -> None:
        if self._terms and idx != self.last_index + 1:
            raise Damaged(f"entry {idx} does not follow {self.last_index}")
        if not self._terms:
            self.first_index = idx
        self._count(idx, term, command)
        self._recent.append(command)
        self._recent_bytes += len(command)
        self._unsynced += 1

    def deleteEntriesFrom(self, entryFrom: int) -> None:
        """Drop the entries at position `entryFrom` and behind."""
        dropped = len(self._terms) - entryFrom
        if dropped <= 0:
            return
        first, stop = self.first_index + entryFrom, self.last_index + 1
        self._drop = (
            (min(first, self._drop[0]), max(stop, self._drop[1]))
            if any(self._drop)
            else (first, stop)
        )
        for _ in range(min(dropped, len(self._recent))):
            self._recent_bytes -= len(self._recent.pop())
        self._unsynced = max(0, self._unsynced - dropped)
        self.bytes -= sum(self._sizes[entryFrom:])
        del self._terms[entryFrom:], self._sizes[entryFrom:]
        self._forget_changes()

    def deleteEntriesTo(self, entryTo: int) -> None:
        """Drop the entries before position `entryTo`; two always stay."""
        self.sync()
        entryTo = max(0, min(entryTo, len(self._terms) - 2))
        self._cut = (self.first_index, self.first_index + entryTo)
        if self._base[0] < self.first_index + entryTo:
            at = self.first_index + entryTo
            self.rebase(at, tuple(sorted(self.members_at(at))))
        self.first_index += entryTo
        self.bytes -= sum(self._sizes[:entryTo])
        del self._terms[:entryTo], self._sizes[:entryTo]
        self._forget_changes()
        while len(self._recent) > len(self._terms):
            self._recent_bytes -= len(self._recent.popleft())
        self.sync()

    def clear(self) -> None:
        """Drop every entry; `add` may then begin anywhere."""
        self.sync()
        self._cut = (self.first_index, self.last_index + 1)
        self._terms, self._sizes = array("Q"), array("I")
        self._recent.clear()
        self._recent_bytes = self.bytes = 0
        self.changes = {}

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:
        self._values[b"commit"] = raftCommitIndex.to_bytes(8, "big")

    def getRaftCommitIndex(self) -> int:
        """Never behind what is applied, never behind the first entries, never past the end."""
        return min(max(self._commit, self.commit_floor), self.last_index)

    def setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None:
        """Durable on return: a term or vote that is forgotten could be given twice."""
        self._term, self._vote = term, votedForNodeId
        self._values[b"term"] = msgspec.msgpack.encode((term, votedForNodeId))
        self.sync()

    def getCurrentTerm(self) -> int:
        return self._term

    def getVotedForNodeId(self) -> str | None:
        return self._vote

    def onOneSecondTimer(self) -> None:
        """The commit index is written with the entries; there is nothing left for a timer."""

    def prove_writable(self) -> None:
        """Write something before anything depends on it: DiskFull or DiskFailed when it cannot."""
        self._values[b"opened"] = b""
        self.sync()

    def sync(self) -> None:
        """Make everything up to here durable."""
        changed = self._unsynced or self._cut[1] or self._drop[1]
        if not changed and not self._values.keys() - {b"commit"}:
            return  # a commit index alone can wait for the next entry
        start = len(self._terms) - self._unsynced
        entries = [
            (index, _seal(command, index, term))
            for command, index, term in self._entries(start, len(self._terms))
        ]
        began = time.monotonic()
        self._log.write(self._cut, self._drop, entries, self._values)
        self.syncs.add(time.monotonic() - began)
        self._unsynced, self._cut, self._drop, self._values = 0, (0, 0), (0, 0), {}
        while self._recent_bytes > RECENT_BYTES_MAX:
            self._recent_bytes -= len(self._recent.popleft())

    def _destroy(self) -> None:
        self.close()

    def close(self) -> None:
        try:
            self.sync()
        finally:
            self._log.close()

    def _count(self, index: int, term: int, command: bytes) -> None:
        self._terms.append(term)
        self._sizes.append(len(command))
        self.bytes += len(command)
        if (change := configuration.decode(command)) is not None:
            self.changes[index] = change

    def _forget_changes(self) -> None:
        kept = range(self.first_index, self.last_index + 1)
        self.changes = {index: one for index, one in self.changes.items() if index in kept}

    def _entries(self, start: int, stop: int) -> Iterator[Entry]:
        """Entries by position: old ones from disk, new ones from memory."""
        split = max(start, min(stop, len(self._terms) - len(self._recent)))
        first = self.first_index
        for index, sealed in (
            self._log.entries(first + start, first + split) if start < split else ()
        ):
            command, term = _open(index, sealed)
            yield command, index, term
        offset = len(self._terms) - len(self._recent)
        for at in range(split, stop):
            yield self._recent[at - offset], first + at, self._terms[at]

    def _know(self, identity: Identity) -> None:
        if identity.format > FORMAT:
            raise SchemaTooNew(
                f"the directory is of format {identity.format}, this program knows {FORMAT}"
            )
        self.identity = identity

    def _load(self) -> None:
        values = self._log.values()
        self._commit = int.from_bytes(values.get(b"commit", b""), "big")
        self._term, self._vote = 0, None
        try:
            if b"term" in values:
                self._term, self._vote = msgspec.msgpack.decode(
                    values[b"term"], type=tuple[int, str | None]
                )
            if b"identity" in values:
                self._know(msgspec.msgpack.decode(values[b"identity"], type=Identity))
                self._base = (1, self.identity.members)
            if b"base" in values:
                self._base = msgspec.msgpack.decode(
                    values[b"base"], type=tuple[int, tuple[str, ...]]
                )
        except msgspec.MsgspecError as error:
            raise Damaged(f"the journal's own values cannot be read: {error}") from None
        for index, sealed in self._log.entries():
            command, term = _open(index, sealed)
            if not self._terms:
                self.first_index = index
            elif index != self.last_index + 1:
                raise Damaged(f"the journal has a hole between {self.last_index} and {index}")
            elif term < self._terms[-1]:
                raise Damaged(f"the journal's term goes back at entry {index}")
            self._count(index, term, command)


def _seal(command: bytes, index: int, term: int) -> bytes:
    head = term.to_bytes(8, "big")
    return head + _check(head, index, command) + command


def _open(index: int, sealed: bytes) -> tuple[bytes, int]:
    head, check, command = sealed[:8], sealed[8:12], sealed[12:]
    if _check(head, index, command) != check:
        raise Damaged(f"entry {index} of the journal is not what was written")
    return command, int.from_bytes(head, "big")


def _check(head: bytes, index: int, command: bytes) -> bytes:
    return zlib.crc32(command, zlib.crc32(index.to_bytes(8, "big") + head)).to_bytes(4, "big")
