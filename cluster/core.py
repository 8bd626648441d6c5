"""PySyncObj with other edges. The only file that knows it.

It elects, counts and commits. What it reads and writes through is ours, by private names, so the
version is pinned exactly and asserted here. Nothing is pickled.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Protocol

import pysyncobj.syncobj
import pysyncobj.version
from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf
from pysyncobj.node import Node as Member
from pysyncobj.transport import Transport

from cluster import configuration
from cluster.journal import Entry, Journal
from cluster.machine import Applied
from cluster.messages import Message
from cluster.snapshots import Snapshots

__all__ = ["PYSYNCOBJ", "Answer", "Core", "Edges", "Member"]

PYSYNCOBJ = "0.3.17"
if pysyncobj.version.VERSION != PYSYNCOBJ:
    raise ImportError(f"PySyncObj {PYSYNCOBJ} is needed, found {pysyncobj.version.VERSION}")

_DEFINITE = {
    FAIL_REASON.QUEUE_FULL,
    FAIL_REASON.MISSING_LEADER,
    FAIL_REASON.DISCARDED,
    FAIL_REASON.NOT_LEADER,
    FAIL_REASON.REQUEST_DENIED,
}

Answer = Callable[[Any, bool, bool], None]
"""What an entry comes to: what was applied, whether it was, and whether it certainly was not."""


def _create_journal(journal: Journal) -> Journal:
    return journal


pysyncobj.syncobj.createJournal = _create_journal  # takes the object we put in `journalFile`


class Edges(Protocol):
    """The member whose core this is."""

    journal: Journal

    @property
    def changing(self) -> bool: ...
    def outgoing(self, member: str, message: Message) -> bool: ...
    def has_wire(self, member: str) -> bool: ...
    def drop_wire(self, member: str) -> None: ...
    def announced(self) -> bool: ...
    def apply(self, index: int, entry: bytes) -> Applied | None: ...
    def reconfigured(self, request: tuple[str, str], *, reverse: bool) -> None: ...


class _Transport(Transport):  # type: ignore[misc]
    """PySyncObj's idea of a network, over the guard and the carrier of a member."""

    ready = True

    def __init__(self, raft: Edges, me: Member) -> None:
        super().__init__(None, me, [])
        self._raft = raft

    def tryGetReady(self) -> None: ...
    def waitReady(self) -> None: ...
    def destroy(self) -> None: ...

    def send(self, node: Member, message: Message) -> bool:
        return self._raft.outgoing(node.id, message)

    def addNode(self, node: Member) -> None:
        if self._raft.has_wire(node.id):
            self._onNodeConnected(node)

    def dropNode(self, node: Member) -> None:
        self._raft.drop_wire(node.id)


class Core(SyncObj):  # type: ignore[misc]
    """PySyncObj with its apply, its membership entries and its serializer replaced."""

    def __init__(
        self, raft: Edges, me: str, others: Iterable[str], snapshots: Snapshots, applied: int
    ) -> None:
        """`applied`: what is in the rows already, and is not read again."""
        self._raft = raft
        member = Member(me)
        transport = self.transport = _Transport(raft, member)
        nodes = [Member(other) for other in others]
        self._parked: dict[Member, int] = {}
        conf = _conf(raft.journal)
        super().__init__(member, nodes, conf, nodeClass=Member, transport=transport)
        self._SyncObj__serializer = snapshots
        self._SyncObj__raftLastApplied = applied

    def _SyncObj__doApplyCommand(self, command: bytes) -> Applied | None:
        return self._raft.apply(self.raftLastApplied + 1, command)

    def _SyncObj__parseChangeClusterRequest(self, command: bytes) -> tuple[str, str] | None:
        change = configuration.decode(command)
        return None if change is None else (change.kind, change.member)

    def _SyncObj__getEntries(
        self, start: int | None, count: int | None = None, maxSizeBytes: int | None = None
    ) -> list[Entry]:
        return [] if start is None else self._raft.journal.run(start, count, maxSizeBytes)

    def _SyncObj__getCurrentLogIndex(self) -> int:
        return self._raft.journal.last_index

    def _SyncObj__getCurrentLogTerm(self) -> int:
        journal = self._raft.journal
        return journal.term_at(journal.last_index) or 0

    def _SyncObj__sendAppendEntries(self) -> None:
        if self._raft.announced():
            return
        for node, index in self._parked.items():
            if self._SyncObj__raftNextIndex.get(node) == index:
                self._SyncObj__raftNextIndex[node] = self._raft.journal.first_index
        self._parked.clear()
        SyncObj._SyncObj__sendAppendEntries(self)

    def park(self, node: Member) -> None:
        """No piece of a snapshot can go to this member now: else the loop that sends would ask
        again, and send a heartbeat, as fast as it can until a tick is over.
        """
        index = self._parked[node] = self._raft.journal.last_index + 1
        self._SyncObj__raftNextIndex[node] = index

    def _SyncObj__changeCluster(self, request: tuple[str, str]) -> bool:
        """One change at a time: PySyncObj's own check never fires (C9)."""
        alone = not self._raft.changing
        return alone and bool(SyncObj._SyncObj__changeCluster(self, request))

    def _SyncObj__doChangeCluster(self, request: tuple[str, str], reverse: bool = False) -> bool:
        done = bool(SyncObj._SyncObj__doChangeCluster(self, request, reverse))
        self._raft.reconfigured(request, reverse=reverse)
        return done

    # How it is

    @property
    def leads(self) -> bool:
        return bool(self._isLeader())

    @property
    def first_of_term(self) -> int | None:
        """The index of the entry with which it began to lead."""
        index: int | None = self._SyncObj__noopIDx
        return index

    @property
    def term(self) -> int:
        return int(self.raftCurrentTerm)

    @property
    def commit(self) -> int:
        return int(self.raftCommitIndex)

    @property
    def leader(self) -> str | None:
        node = self._getLeader()
        return None if node is None else str(node.id)

    @property
    def others(self) -> frozenset[str]:
        return frozenset(str(node.id) for node in self.otherNodes)

    # What it is asked

    def order(self, entry: bytes, answer: Answer) -> None:
        """Ask for an entry, from any thread."""

        def called(value: Any, reason: int) -> None:
            answer(value, reason == FAIL_REASON.SUCCESS, reason in _DEFINITE)

        with suppress(BlockingIOError):  # a full pipe: it is queued, and the thread will wake
            self._applyCommand(entry, called)

    def hand_over(self, member: str | None, done: Callable[[bool], None]) -> None:
        """Ask another member to lead, the most caught-up when None; whether it was asked."""
        self.transferLeadership(member, lambda _, reason: done(reason == FAIL_REASON.SUCCESS))

    def wake(self) -> None:
        """End the wait of the tick, from any thread."""
        with suppress(BlockingIOError):  # a full pipe: woken already
            self._SyncObj__pipeNotifier.notify()

    def free(self) -> None:
        """Close what it holds open; nothing ticks any more."""
        notifier = self._SyncObj__pipeNotifier
        for fd in (notifier._PipeNotifier__pipeR, notifier._PipeNotifier__pipeW):
            self._poller.unsubscribe(fd)
            os.close(fd)

    # What it is told

    def connected(self, member: str) -> None:
        self.transport._onNodeConnected(Member(member))

    def ended(self, member: str) -> None:
        self.transport._onNodeDisconnected(Member(member))

    def deliver(self, member: str, message: Message) -> None:
        self.transport._onMessageReceived(Member(member), message)

    # Where it is given a push

    def send_entries(self) -> None:
        """Tell the others now what there is to tell."""
        self._SyncObj__sendAppendEntries()

    def send_more(self) -> None:
        """Do so in the next tick."""
        self._SyncObj__newAppendEntriesTime = 0

    def elect_at_once(self) -> None:
        self._SyncObj__raftElectionDeadline = 0.0

    def elects(self, now: float) -> bool:
        """Whether it would campaign in the next tick."""
        return not self.leads and self._SyncObj__raftElectionDeadline < now

    def put_off_election(self, until: float) -> None:
        self._SyncObj__raftElectionDeadline = until

    @property
    def asked_to_lead(self) -> bool:
        return bool(self._SyncObj__transferInProgress)

    def compact(self, *, again: bool) -> None:
        """Take a snapshot; `again`: of the same entry as the last, which is no good."""
        if again:
            self._SyncObj__lastSerializedEntry = None
        self.forceLogCompaction()

    def take_over(self, index: int) -> bool:
        """Begin behind the snapshot that was taken over; whether that went well."""
        self._SyncObj__loadDumpFile(clearJournal=True)
        if self.raftLastApplied != index or self._raft.journal.last_index != index:
            return False
        self._SyncObj__raftCommitIndex = max(self.commit, index)
        return True


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
