"""Rows without the room that deleted ones left: made anew beside those in use, which then give way.

LMDB uses free pages again and never gives them back. A snapshot has none; it is copied beside the
ticks, brought up to date with the entries behind it, a few at each tick, and takes the place of the
rows in one step. Whatever stands against it, the rows stay as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from cluster.disk import Generation, State
from cluster.errors import ClusterError
from cluster.guard import REGULAR
from cluster.journal import Journal

log = logging.getLogger(__name__)

ENTRIES_A_STEP = 256
BYTES_A_STEP = 1 << 20
SPARE_BYTES = 64 << 20
AHEAD = 2
"""Which generation it makes: the next is that of a snapshot which another member sends."""


class Beside(Protocol):
    """What runs work beside the ticks."""

    def __call__(self, work: Callable[[], None]) -> None: ...


def worth_it(used: int, needed: int) -> bool:
    """Whether so much of the rows' file is free pages that making it anew is worth the work."""
    return used - needed > max(SPARE_BYTES, needed)


class Compaction:
    """One that is under way. Everything but the copy happens on the tick thread."""

    def __init__(self, state: State, journal: Journal, snapshot: Path, beside: Beside) -> None:
        self._state = state
        self._journal = journal
        self._snapshot = snapshot
        self._began_in = state.generation
        self._rows: Generation | None = None
        self._failed = False
        beside(self._copy)

    def _copy(self) -> None:
        try:
            self._rows = self._state.prepare(self._snapshot, ahead=AHEAD)
        except (ClusterError, OSError) as error:
            log.warning("the rows are not made anew: %s", error)
            self._failed = True

    def step(self, *, may_end: bool) -> bool | None:
        """Go on a little; whether it was done, None while it goes on."""
        if self._failed:
            return False
        rows = self._rows
        if rows is None:
            return None
        start = rows.applied[0] + 1
        if self._state.generation != self._began_in or start < self._journal.first_index:
            self.close()  # other rows have come, or a newer snapshot
            return False
        try:
            self._replay(rows, start)
        except ClusterError as error:
            log.warning("the rows are not made anew: %s", error)
            self.close()
            return False
        if rows.applied != self._state.applied or not may_end:
            return None
        self._rows = None
        self._state.switch(rows)
        return True

    def _replay(self, rows: Generation, start: int) -> None:
        count = min(self._state.applied[0] + 1 - start, ENTRIES_A_STEP)
        if count > 0:
            entries = self._journal.run(start, count, BYTES_A_STEP)
            rows.replay(
                (index, term, entry[1:] if entry[:1] == REGULAR else None)
                for entry, index, term in entries
            )

    def close(self) -> None:
        """Let go of what was made; nothing writes to it any more."""
        if self._rows is not None:
            self._rows.discard()
            self._rows = None
            self._failed = True
