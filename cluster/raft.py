"""Orders entries among the members. The only file that knows PySyncObj.

PySyncObj is used without its edges: journal, serializer and transport are ours, the tick thread
is ours and crash-only, and nothing is pickled. The overrides use private names, so the version is
pinned exactly and asserted here.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import pysyncobj.syncobj
import pysyncobj.version
from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf
from pysyncobj.node import Node as Member
from pysyncobj.transport import Transport

from cluster.disk import State
from cluster.errors import Damaged
from cluster.journal import Journal
from cluster.machine import Applied
from cluster.snapshots import Snapshots

log = logging.getLogger(__name__)

PYSYNCOBJ = "0.3.17"
if pysyncobj.version.VERSION != PYSYNCOBJ:
    raise ImportError(f"PySyncObj {PYSYNCOBJ} is needed, found {pysyncobj.version.VERSION}")

REGULAR, NO_OP = b"\x00", b"\x01"
TICK_SECONDS = 0.05
RETRY_SNAPSHOT_SECONDS = 60.0
EXIT_FATAL = 70

_DEFINITE = {
    FAIL_REASON.QUEUE_FULL,
    FAIL_REASON.MISSING_LEADER,
    FAIL_REASON.DISCARDED,
    FAIL_REASON.NOT_LEADER,
    FAIL_REASON.REQUEST_DENIED,
}

Answer = Callable[[Applied | None, bool], None]
"""What a proposal comes to: what was applied, or None and whether it certainly was not."""


def _create_journal(journal: Journal) -> Journal:
    return journal


pysyncobj.syncobj.createJournal = _create_journal  # takes the object we put in `journalFile`


def crash(why: str) -> None:
    """End the process at once: after a failed tick nothing in memory is to be trusted."""
    log.critical("this node stops: %s", why)
    logging.shutdown()
    os._exit(EXIT_FATAL)


class _Alone(Transport):  # type: ignore[misc]
    """The transport of a member without peers."""

    ready = True

    def tryGetReady(self) -> None: ...
    def waitReady(self) -> None: ...
    def destroy(self) -> None: ...


class _Core(SyncObj):  # type: ignore[misc]
    """PySyncObj with its apply replaced: rows and applied index in one transaction."""

    def __init__(
        self,
        member: str,
        conf: SyncObjConf,
        journal: Journal,
        apply: Callable[[int, bytes], Applied | None],
    ) -> None:
        self._entry = apply
        me = Member(member)
        super().__init__(me, [], conf, nodeClass=Member, transport=_Alone(None, me, []))

    def _SyncObj__doApplyCommand(self, command: bytes) -> Applied | None:
        return self._entry(self.raftLastApplied + 1, command)

    def _SyncObj__parseChangeClusterRequest(self, command: bytes) -> None:
        """No entry changes the members of a cluster of one."""


class Raft:
    """One member of the group that orders entries, on a thread of its own."""

    def __init__(
        self,
        journal: Journal,
        state: State,
        snapshots: Snapshots,
        *,
        snapshot_bytes: int,
        snapshot_entries: int,
        on_ready: Callable[[], None],
        on_applied: Callable[[Applied], None],
    ) -> None:
        self._journal = journal
        self._state = state
        self._snapshots = snapshots
        self._snapshot_bytes = snapshot_bytes
        self._snapshot_entries = snapshot_entries
        self._on_ready = on_ready
        self._on_applied = on_applied
        self._waiting: deque[Callable[[], None]] = deque()
        self._stopping = False
        self._wanted: list[tuple[int, Callable[[int | None], None]]] = []
        self._not_before = 0.0
        core = self._core = _Core(journal.identity.member, _conf(journal), journal, self._apply)
        core._SyncObj__serializer = snapshots
        core._SyncObj__raftLastApplied = state.applied[0]  # what is in the rows is not read again
        core._SyncObj__raftElectionDeadline = 0  # nobody else could lead
        core.addOnTickCallback(self._after_commands)
        self._thread = threading.Thread(target=self._run, name="raft", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the tick thread; everything synced. Not to be called on it."""
        self._stopping = True
        self._wake()
        self._thread.join()
        self._snapshots.join()
        notifier = self._core._SyncObj__pipeNotifier
        for fd in (notifier._PipeNotifier__pipeR, notifier._PipeNotifier__pipeW):
            self._core._poller.unsubscribe(fd)
            os.close(fd)

    @property
    def leading(self) -> bool:
        return bool(self._core._isLeader())

    @property
    def ready(self) -> bool:
        """Whether this member leads and its first entry of this term is applied."""
        first = self._core._SyncObj__noopIDx
        return self.leading and first is not None and self._state.applied[0] >= first

    @property
    def term(self) -> int:
        return int(self._core.raftCurrentTerm)

    @property
    def commit(self) -> int:
        return int(self._core.raftCommitIndex)

    def propose(self, entry: bytes, answer: Answer) -> None:
        """Ask for an entry, from any thread. `answer` is called on the tick thread, or here."""

        def called(done: Applied | None, reason: int) -> None:
            if reason == FAIL_REASON.SUCCESS:
                answer(done, False)
            else:
                answer(None, reason in _DEFINITE)

        with suppress(BlockingIOError):  # a full pipe: it is queued, and the thread will wake
            self._core._applyCommand(REGULAR + entry, called)

    def snapshot(self, done: Callable[[int | None], None]) -> None:
        """Take a snapshot; `done` gets its index, or None when it failed, on the tick thread."""

        def ask() -> None:
            self._wanted.append((self._state.applied[0], done))

        self._waiting.append(ask)
        self._wake()

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._core.doTick(TICK_SECONDS)
                self._between_ticks()
            self._journal.sync()
        except Exception as error:
            log.exception("tick")
            crash(repr(error))

    def _between_ticks(self) -> None:
        while self._waiting:
            self._waiting.popleft()()
        if not self._snapshots.idle:
            return
        if self._snapshots.failed():
            self._not_before = time.monotonic() + RETRY_SNAPSHOT_SECONDS
            self._answer_snapshots(None)
        if self._snapshots.meta is not None:
            self._answer_snapshots(self._snapshots.meta.index)
        if self._wanted or self._due():
            self._core.forceLogCompaction()

    def _answer_snapshots(self, index: int | None) -> None:
        """Tell those who are served by a snapshot at `index`; everyone when there is none."""
        waiting, self._wanted = self._wanted, []
        for wanted, done in waiting:
            if index is None or wanted <= index:
                done(index)
            else:
                self._wanted.append((wanted, done))

    def _due(self) -> bool:
        if time.monotonic() < self._not_before:
            return False
        journal = self._journal
        unguarded = self._snapshots.meta is None and journal.first_index > 0
        return unguarded or (
            journal.bytes > self._snapshot_bytes or len(journal) > self._snapshot_entries
        )

    def _after_commands(self) -> None:
        """Runs in each tick, after new entries were added and before it waits for more."""
        self._journal.sync()
        if self.leading and self._journal.last_index > self.commit:
            self._wake()  # alone, nothing else would end the wait: commit in the next tick, now

    def _apply(self, index: int, command: bytes) -> Applied | None:
        self._journal.sync()  # nothing is applied that could be lost
        term = self._journal.term_at(index)
        if term is None:
            raise Damaged(f"entry {index} is committed but not in the journal")
        kind = command[:1]
        if kind == REGULAR:
            done = self._state.apply(index, term, command[1:])
            self._on_applied(done)
            return done
        if kind != NO_OP:
            raise Damaged(f"entry {index} is of kind {kind!r}, which nothing here writes")
        self._state.mark(index, term)
        if self.ready:
            self._on_ready()
        return None

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # a full pipe: woken already
            self._core._SyncObj__pipeNotifier.notify()


def _conf(journal: Journal) -> SyncObjConf:
    return SyncObjConf(
        autoTick=False,
        dynamicMembershipChange=True,
        appendEntriesUseBatch=False,
        appendEntriesBatchSizeBytes=2 << 20,
        raftMinTimeout=0.5,
        raftMaxTimeout=1.0,
        appendEntriesPeriod=0.1,
        leaderFallbackTimeout=1.5,
        connectionTimeout=2.0,
        connectionRetryTime=0.5,
        commandsWaitLeader=False,
        commandsQueueSize=1000,
        dnsCacheTime=5,
        dnsFailCacheTime=1,
        logCompactionMinEntries=2**31,
        logCompactionMinTime=10**9,
        journalFile=journal,
        fullDumpFile=None,
        useFork=False,
    )
