"""Starting on what is there: journal, rows and snapshot must agree, or nothing starts.

What a crash at any moment can leave is put right; what it cannot is Damaged (replication.md
part B, startup invariants). The journal is never thrown away here.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cluster import command, snapshots as copies
from cluster.configuration import name_of
from cluster.disk import DATA, Log, State, check_structure
from cluster.errors import Damaged, DataInUse
from cluster.files import copy_file, remove_tree, replace_file, sync_directory
from cluster.guard import REGULAR
from cluster.journal import NO_OP, Entry, Identity, Journal
from cluster.snapshots import Meta, Snapshots

log = logging.getLogger(__name__)

STATE, RAFT, SNAPSHOTS, CLOSED = "state", "raft", "snapshots", "closed"
JOINING, LEFT, PROMISE, ALONE = "joining", "left", "promise", "alone"
FIRST = ((NO_OP, 0, 0), (NO_OP, 1, 0))
"""What every journal begins behind: two entries that say nothing, and count as applied."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The three parts of a data directory, in agreement."""

    directory: Path
    journal: Journal
    state: State
    snapshots: Snapshots

    def close(self) -> None:
        """Close both; leave the mark of a clean end when nothing stood against it."""
        try:
            self.journal.close()
        finally:
            self.state.close()
        with suppress(OSError):  # without it the next start looks more closely, that is all
            replace_file(self.directory / CLOSED, b"")


def is_fresh(directory: Path) -> bool:
    """Whether this directory has never been part of any cluster."""
    return not (directory / RAFT).exists() and not (directory / JOINING).exists()


def adopt(directory: Path) -> None:
    """Take what was copied from another cluster in the place of what was here, if there is any.

    A start that was cut off in here is ended by the next.
    """
    made = directory / JOINING
    if not made.is_dir():
        return
    log.warning("%s begins with the data of the cluster it joins", directory)
    for part in (SNAPSHOTS, STATE, RAFT):
        if (made / part).is_dir():
            if (directory / part).is_dir():
                shutil.rmtree(directory / part)
            os.rename(made / part, directory / part)
            sync_directory(directory)
    for mark in (PROMISE, ALONE):
        (directory / mark).unlink(missing_ok=True)
    shutil.rmtree(made)


def abandon(directory: Path) -> None:
    """Put aside what a member had that is none any more; the next start begins a cluster of one."""
    left = directory / LEFT
    if left.exists():
        shutil.rmtree(left)
    left.mkdir()
    replace_file(directory / ALONE, b"")
    for part in (RAFT, STATE, SNAPSHOTS):
        if (directory / part).is_dir():
            os.rename(directory / part, left / part)
    sync_directory(directory)


class Copy:
    """The data of a new member, made beside its own from the snapshot of another."""

    def __init__(self, directory: Path, meta: Meta, member: str) -> None:
        self._directory = directory
        self._made = directory / (JOINING + ".tmp")
        self._meta = meta
        self._member = member
        self._journal: Journal | None = None
        if self._made.exists():
            shutil.rmtree(self._made)
        (self._made / STATE / "1").mkdir(parents=True)
        (self._made / SNAPSHOTS).mkdir()
        self._file = (self._made / STATE / "1" / DATA).open("wb")
        self._digest = copies.new_digest()
        self._size = 0

    def write(self, piece: bytes) -> None:
        """Take the next piece of the snapshot."""
        self._file.write(piece)
        self._digest.update(piece)
        self._size += len(piece)

    def end(self) -> None:
        """Check it, and begin a journal behind it. Damaged when it is not what was sent."""
        meta = self._meta
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if (self._digest.digest(), self._size) != (meta.digest, meta.size):
            raise Damaged("the snapshot that was sent is damaged or not whole: try again")
        replace_file(self._made / STATE / "CURRENT", b"1")
        state = State(self._made / STATE, map_size=0)
        applied = state.applied
        state.close()
        if applied != (meta.index, meta.term):
            raise Damaged(f"the snapshot says {(meta.index, meta.term)}, its rows {applied}")
        self._journal = Journal(Log(self._made / RAFT, map_size=1 << 20))
        identity = Identity(meta.cluster, self._member, meta.members)
        self._journal.begin((meta.before, meta.last), identity)

    @property
    def last_index(self) -> int:
        """The last entry that is here."""
        return self._meta.index if self._journal is None else self._journal.last_index

    def add(self, entries: list[Entry]) -> None:
        """Add committed entries behind what is here."""
        assert self._journal is not None
        for entry in entries:
            self._journal.add(*entry)
        if entries:
            self._journal.setRaftCommitIndex(entries[-1][1])
        self._journal.sync()

    def finish(self) -> None:
        """Make it count: the next start adopts it."""
        self.close()
        made = self._directory / JOINING
        if made.exists():
            shutil.rmtree(made)
        os.rename(self._made, made)
        sync_directory(self._directory)

    def close(self) -> None:
        self._file.close()
        if self._journal is not None:
            self._journal.close()
            self._journal = None


def members(directory: Path) -> tuple[str, ...]:
    """The names of the members by a stopped member's own log, itself among them. Damaged."""
    journal = Journal(Log(directory / RAFT, map_size=1 << 20))
    try:
        if not len(journal):
            raise Damaged(f"{directory} holds no data of a member")
        return tuple(sorted(map(name_of, journal.members_at(journal.last_index))))
    finally:
        journal.close()


def recover(directory: Path, name: str) -> tuple[int, int]:
    """Make the data of a stopped member a cluster of one with a new identity.

    Returns the index and term it keeps. What was acknowledged only elsewhere is gone; members of
    the old cluster are refused from here on. Damaged or DataInUse.
    """
    made = _identity(name)
    journal = Journal(Log(directory / RAFT, map_size=1 << 20))
    try:
        if not len(journal):
            raise Damaged(f"{directory} holds no data of a member")
        meta = copies.load(directory / SNAPSHOTS)
        if meta is not None:
            kept = msgspec.structs.replace(meta, cluster=made.cluster, members=made.members)
            replace_file(directory / SNAPSHOTS / copies.META, msgspec.msgpack.encode(kept))
        journal.renew(made)
        index = journal.last_index
        term = journal.term_at(index)
    finally:
        journal.close()
    return index, term or 0


def reconcile(directory: Path, name: str, *, map_size: int, room: Callable[[int], bool]) -> Opened:
    """Open a data directory, or begin one in an empty directory. Damaged when it must not start.

    After anything but a clean close the structure of the rows' file is checked page by page.
    """
    adopt(directory)
    closed = directory / CLOSED
    unclean = not closed.exists()
    closed.unlink(missing_ok=True)
    sync_directory(directory)
    log_ = Log(directory / RAFT, map_size=map_size)
    try:
        journal = Journal(log_)
    except BaseException:
        log_.close()
        raise
    try:
        state = State(directory / STATE, map_size=map_size, check=unclean)
        try:
            meta = copies.load(directory / SNAPSHOTS)
            if len(journal) < len(FIRST):
                _begin(journal, state, meta, directory, name)
            _agree(journal, state, meta, directory)
            journal.commit_floor = state.applied[0]
            journal.prove_writable()
            snapshots = Snapshots(directory / SNAPSHOTS, state, journal, room=room)
        except BaseException:
            state.close()
            raise
    except BaseException:
        journal.close()
        raise
    return Opened(directory, journal, state, snapshots)


def restore(directory: Path, source: Path, name: str) -> int:
    """Make `directory` (missing or empty) the data of a new cluster of one, from a snapshot.

    `source` is a folder with META and the file it names. Returns the index it stands at. Damaged
    when the snapshot is not what was written, DataInUse when the directory is not empty.
    """
    if directory.exists() and any(directory.iterdir()):
        raise DataInUse(f"{directory} is not empty; a snapshot is restored into an empty directory")
    meta = copies.load(source)
    if meta is None:
        raise Damaged(f"{source} holds no snapshot: there is no {copies.META}")
    copied = copies.verified(source, meta)
    made = directory.with_name(directory.name + ".restoring")
    for part in (made / STATE / "1", made / STATE, made / RAFT, made):
        remove_tree(part)
    (made / STATE / "1").mkdir(parents=True)
    copy_file(copied, made / STATE / "1" / DATA)
    check_structure(made / STATE / "1" / DATA)
    replace_file(made / STATE / "CURRENT", b"1")
    state = State(made / STATE, map_size=0)
    applied = state.applied
    state.close()
    if applied != (meta.index, meta.term):
        raise Damaged(f"the snapshot says {(meta.index, meta.term)}, its rows {applied}")
    journal = Journal(Log(made / RAFT, map_size=1 << 20))
    journal.begin((meta.before, meta.last), _identity(name))
    journal.close()
    directory.parent.mkdir(parents=True, exist_ok=True)
    os.rename(made, directory)
    return meta.index


def _begin(journal: Journal, state: State, meta: Meta | None, directory: Path, name: str) -> None:
    if len(journal) or meta is not None or state.applied != (0, 0):
        raise Damaged(
            f"{directory / RAFT} holds no journal, but rows up to entry {state.applied[0]} are "
            "there. Nothing is served without it: restore a snapshot into an empty directory"
        )
    journal.begin(FIRST, _identity(name))


def _identity(name: str) -> Identity:
    member = f"{secrets.token_hex(8)}/{name}"
    return Identity(secrets.token_hex(8), member, (member,))


def _agree(journal: Journal, state: State, meta: Meta | None, directory: Path) -> None:
    if meta is not None and meta.cluster != journal.identity.cluster:
        raise Damaged(f"the snapshot in {directory} was taken in another cluster")
    if meta is not None:
        _finish_taking_over(journal, state, meta, directory)
    base = journal.first_index + 1
    if state.applied == (0, 0) and base == FIRST[1][1]:
        state.mark(*FIRST[1][1:])
    elif state.applied[0] < base:
        _reinstall(journal, state, meta, directory, base)
    applied, term = state.applied
    if applied > journal.last_index:
        raise Damaged(
            f"the rows in {directory} are at entry {applied}, the journal ends at "
            f"{journal.last_index}: entries that were acknowledged are missing"
        )
    if journal.term_at(applied) != term:
        raise Damaged(
            f"entry {applied} in {directory} was applied in term {term}, the journal has it in "
            f"term {journal.term_at(applied)}: rows and journal are not of the same history"
        )
    for entry, _, _ in journal[applied + 1 - journal.first_index :]:
        if entry[:1] == REGULAR:
            command.decode(entry[1:])  # a word this code does not know stops it here, not later


def _finish_taking_over(journal: Journal, state: State, meta: Meta, directory: Path) -> None:
    """Go on where a member was cut off that took over the snapshot of another."""
    if journal.term_at(meta.index) == meta.term or meta.index <= journal.first_index:
        return
    if state.applied[0] < meta.index:
        log.warning("rows at %d: from the snapshot at %d", state.applied[0], meta.index)
        state.install(copies.verified(directory / SNAPSHOTS, meta))
    if state.applied == (meta.index, meta.term):
        log.warning("the journal begins anew behind the snapshot at %d", meta.index)
        journal.clear()
        journal.add(*meta.before)
        journal.add(*meta.last)
        journal.rebase(meta.index, meta.members)
        journal.sync()


def _reinstall(
    journal: Journal, state: State, meta: Meta | None, directory: Path, base: int
) -> None:
    if meta is None or journal.term_at(meta.index) != meta.term or meta.index < base:
        raise Damaged(
            f"the rows in {directory} are at entry {state.applied[0]}, the journal begins at "
            f"{base}, and no snapshot is in between: restore one into an empty directory"
        )
    log.warning("rows at %d, journal from %d: from the snapshot", state.applied[0], base)
    state.install(copies.verified(directory / SNAPSHOTS, meta))
