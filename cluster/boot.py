"""Starting on what is there: journal, rows and snapshot must agree, or nothing starts.

What a crash at any moment can leave is put right; what it cannot is Damaged (replication.md
part B, startup invariants). The journal is never thrown away here.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cluster import command, snapshots as copies
from cluster.disk import DATA, Log, State, check_structure
from cluster.errors import Damaged, DataInUse
from cluster.files import copy_file, remove_tree, replace_file, sync_directory
from cluster.guard import REGULAR
from cluster.journal import NO_OP, Identity, Journal
from cluster.snapshots import Meta, Snapshots

log = logging.getLogger(__name__)

STATE, RAFT, SNAPSHOTS, CLOSED = "state", "raft", "snapshots", "closed"
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


def reconcile(directory: Path, name: str, *, map_size: int, room: Callable[[int], bool]) -> Opened:
    """Open a data directory, or begin one in an empty directory. Damaged when it must not start.

    After anything but a clean close the structure of the rows' file is checked page by page.
    """
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
