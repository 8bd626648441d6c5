"""Orders entries among the members: the core and its edges, on a thread of their own.

The core elects, counts and commits. Journal, snapshots, wires, what may be said (guard) and what is
known of the others (peers) are around it. The tick thread is crash-only.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from cluster import configuration, messages
from cluster.compaction import Compaction, worth_it
from cluster.configuration import MEMBERSHIP, MemberChange
from cluster.core import Core, Member
from cluster.disk import State
from cluster.errors import Damaged, DiskFull, DiskReadOnly
from cluster.guard import REGULAR, Guard
from cluster.journal import NO_OP, Entry, Journal
from cluster.links import Link, hang_up
from cluster.machine import Applied
from cluster.messages import Message
from cluster.peers import Peers
from cluster.snapshots import Snapshots
from cluster.wires import Wires

log = logging.getLogger(__name__)

TICK_SECONDS = 0.05
HOLD_SECONDS = 0.05
ALONE_SECONDS = 0.3
RETRY_SNAPSHOT_SECONDS = 60.0
RETRY_DISK_SECONDS = 0.25
JOURNAL_SPARE = 4
"""How often the length at which it is cut the journal's file may be, before it is written anew."""
JOURNAL_ANEW_BYTES_MAX = 32 << 20
"""What is written anew between two ticks; more would keep the others waiting."""
EXIT_FATAL = 70

FROM_ANYONE = frozenset({"append_entries", "request_vote", "ping", "pong"})
"""What counts from one who is no member here: it may be one by entries not heard of yet."""

Answer = Callable[[Applied | None, bool], None]
"""What a proposal comes to: what was applied, or None and whether it certainly was not."""


def crash(why: str) -> None:
    """End the process at once: after a failed tick nothing in memory is to be trusted."""
    log.critical("this node stops: %s", why)
    logging.shutdown()
    os._exit(EXIT_FATAL)


class Carrier(Protocol):
    """What brings frames to the other members."""

    def send(self, member: str, content: bytes) -> bool: ...
    def backlog(self, member: str) -> int: ...
    def has(self, member: str) -> bool: ...
    def drop(self, member: str) -> None: ...
    def end_silent(self) -> None: ...
    def close(self) -> None: ...


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
        on_shown: Callable[[int | None], None] = lambda index: None,
        on_installed: Callable[[int], None] = lambda index: None,
        on_members: Callable[[MemberChange | None], None] = lambda change: None,
        carrier: Callable[[Raft], Carrier] | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_crash: Callable[[str], None] | None = None,
    ) -> None:
        self.journal = journal
        self._state = state
        self.snapshots = snapshots
        self._snapshot_bytes = snapshot_bytes
        self._snapshot_entries = snapshot_entries
        self._on_ready = on_ready
        self._on_applied = on_applied
        self._on_shown = on_shown
        self._on_installed = on_installed
        self._on_members = on_members
        self._clock = clock
        self._crash = on_crash or crash
        self._waiting: deque[Callable[[], None]] = deque()
        self._links: deque[Link] = deque()  # greeted, and not taken over yet
        self._stopping = False
        self.stalled = False
        """Whether the disk has become read-only: this member holds still, as if it were paused."""
        journal.be_patient(self._bear_with)
        state.be_patient(self._bear_with)
        self._wanted: list[tuple[int, Callable[[int | None], None]]] = []
        self._not_before = 0.0
        self._compaction: Compaction | None = None
        self._compacted: list[Callable[[bool], None]] = []
        self._looked_at = 0
        self._shown: int | None = None
        self._quorum = False
        self._lease_until = -1.0
        self._told: tuple[int, int] | None = None
        self.member = journal.identity.member
        members = journal.members_at(journal.last_index)
        self.standing = self.member in members
        self.others = members - {self.member}
        self.peers = Peers(self, self._send, clock)
        self.guard = Guard(
            self,
            journal,
            deliver=self._deliver,
            send=self._send,
            backlog=lambda member: self.carrier.backlog(member),
            crash=self._crash,
        )
        core = self._core = Core(self, self.member, self.others, snapshots, state.applied[0])
        self.carrier = carrier(self) if carrier is not None else self._wires()
        snapshots.backlog, snapshots.park = self.carrier.backlog, core.park
        if not self.others and self.standing:
            core.elect_at_once()  # nobody else could lead
        core.addOnTickCallback(self._after_commands)
        self._thread = threading.Thread(target=self._run, name="raft", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the tick thread; everything synced. Not to be called on it."""
        self._stopping = True
        self._wake()
        self._thread.join()
        self.release()

    def release(self) -> None:
        """Give back everything but the journal and the rows; nothing ticks any more."""
        self.snapshots.join()
        if self._compaction is not None:
            self._compaction.close()
        for link in self._links:
            hang_up(link.socket)
        self.carrier.close()
        self._core.free()

    # How it is, from any thread

    @property
    def leading(self) -> bool:
        return self._core.leads

    @property
    def ready(self) -> bool:
        """Whether this member leads and its first entry of this term is applied."""
        first = self._core.first_of_term
        return self.leading and first is not None and self._state.applied[0] >= first

    @property
    def alone(self) -> bool:
        """Whether this member is the whole cluster."""
        return self.standing and not self.others

    @property
    def quorum(self) -> bool:
        """Whether a write asked for now would find a leader and a majority."""
        if self.stalled:
            return False
        return self.ready if self.alone else self._quorum

    @property
    def lease_valid(self) -> bool:
        """Whether nothing acknowledged before now can be missing here that takes a right away."""
        return self.ready if self.alone else self._clock() < self._lease_until

    @property
    def lease_seconds(self) -> float:
        """How long that is known to stay so, at least."""
        if self.alone:
            return ALONE_SECONDS if self.ready else 0.0
        return max(0.0, self._lease_until - self._clock())

    @property
    def term(self) -> int:
        return self._core.term

    @property
    def commit(self) -> int:
        return self._core.commit

    @property
    def applied(self) -> int:
        return self._state.applied[0]

    @property
    def leader(self) -> str | None:
        """The id of the member that leads, as far as is known here."""
        return self._core.leader

    @property
    def known(self) -> frozenset[str]:
        """Everyone who is a member, or was one by an entry that is still here."""
        return self.others.union(change.member for change in self.journal.changes.values())

    @property
    def changing(self) -> bool:
        """Whether a change of the members is on its way."""
        return max(self.journal.changes, default=0) > self.applied

    @property
    def installing(self) -> bool:
        """Whether a snapshot of another member is being taken over."""
        return self.snapshots.installing

    @property
    def members(self) -> frozenset[str]:
        """All members, this one too while it is one."""
        return self.others | {self.member} if self.standing else self.others

    # What can be asked of it, from any thread

    def propose(self, entry: bytes, answer: Answer) -> None:
        """Ask for an entry, from any thread. `answer` is called on the tick thread, or here."""
        if self.stalled or (not self.alone and not self._quorum):
            answer(None, True)
            return

        def called(applied: Applied | None, done: bool, certain: bool) -> None:
            answer(applied if done else None, not done and certain)

        self._core.order(REGULAR + entry, called)

    def call(self, work: Callable[[], None]) -> None:
        """Have `work` run on the tick thread, between two ticks."""
        self._waiting.append(work)
        self._wake()

    def snapshot(self, done: Callable[[int | None], None]) -> None:
        """Take a snapshot; `done` gets its index, or None when it failed, on the tick thread."""
        self.call(lambda: self._wanted.append((self._state.applied[0], done)))

    def compact(self, done: Callable[[bool], None]) -> None:
        """Give room that nothing is kept in back to the disk; `done` says whether it was."""

        def begin(index: int | None) -> None:
            if index is None or not self._begin_compaction():
                done(False)
            else:
                self._compacted.append(done)

        self.snapshot(begin)

    def read(self, answer: Callable[[int | None], None]) -> None:
        """`answer` once everything committed before now is applied here; None when unknown."""
        if self.stalled:
            answer(None)
            return
        self.call(lambda: self.peers.read(answer))

    def settle(self, index: int, answer: Callable[[int | None], None]) -> None:
        """`answer` once no member may read by its lease without having applied `index`."""
        self.call(lambda: self.peers.settle(index, answer))

    def change(self, change: MemberChange, done: Callable[[bool], None]) -> None:
        """Add or remove one member, while leading and when no other change is on its way (C9)."""

        def called(_: Applied | None, changed: bool, __: bool) -> None:
            done(changed)

        def ask() -> None:
            if not self.ready or change.member == self.member:
                done(False)
            else:
                self._core.order(configuration.encode(change), called)

        self.call(ask)

    def transfer(self, member: str | None, done: Callable[[bool], None]) -> None:
        """Ask another member to lead, the most caught-up when None; whether it was asked."""
        self.call(lambda: self._core.hand_over(member, done))

    def adopt(self, link: Link) -> None:
        """Take over a greeted connection to a member."""
        self._links.append(link)
        self._wake()

    def committed(
        self, start: int, size: int, done: Callable[[list[Entry] | None, int], None]
    ) -> None:
        """Hand `done` committed entries from `start` on, of about `size` bytes, and the commit
        index; None for entries that are only in a snapshot any more.
        """

        def read() -> None:
            journal, left = self.journal, size
            if start <= journal.first_index:
                done(None, self.commit)
                return
            found: list[Entry] = []
            for index in range(start, self.commit + 1):
                if left <= 0:
                    break
                found.append(journal[index - journal.first_index])
                left -= len(found[-1][0])
            done(found, self.commit)

        self.call(read)

    # The tick thread

    def tick(self, wait: float) -> None:
        """One round: elect, count, commit, apply, take what was asked, send, and wait for more."""
        self.journal.sync()
        self._hold_election()
        self._core.doTick(wait)
        self._between_ticks()

    def connected(self, member: str) -> None:
        """A connection to `member` stands; it may be a leader this member has not heard of."""
        self._core.connected(member)

    def ended(self, member: str) -> None:
        """The connection to `member` is gone."""
        self._core.ended(member)
        self.snapshots.cancelTransmisstion(Member(member))  # or pieces would be missing (M2)

    def receive(self, member: str, frame: bytes) -> None:
        """Take one frame of a member. LinkRefused when it is none of ours."""
        message = messages.decode(frame)
        if member not in self.others and message["type"] not in FROM_ANYONE:
            return
        if message["type"] == "taken":
            self.snapshots.taken(Member(member), message["transfer"], message["number"])
        elif not self.peers.receive(member, message):
            self.guard.incoming(member, message)

    def unseat(self, member: str, term: int) -> None:
        """A member has seen a later term: lead no more in this one, and vote for nobody by it."""
        vote = {"type": "request_vote", "term": term, "last_log_index": -1, "last_log_term": -1}
        self._deliver(member, vote)

    def reconfigured(self, request: tuple[str, str], *, reverse: bool) -> None:
        """PySyncObj has one member more or less, from the entry on, not from its commit."""
        kind, member = request
        if member == self.member:
            self.standing = (kind == configuration.ADD) != reverse
        self._members_changed(None)

    def outgoing(self, member: str, message: Message) -> bool:
        """Send one of PySyncObj's messages, if it may be said."""
        return self.guard.outgoing(member, message)

    def has_wire(self, member: str) -> bool:
        """Whether there is a connection to a member."""
        return self.carrier.has(member)

    def drop_wire(self, member: str) -> None:
        """End the connection to a member."""
        self.carrier.drop(member)

    def announced(self) -> bool:
        """Whether the others were just told of this commit, and there is nothing else to tell."""
        told, self._told = self._told, None
        return told == (self.commit, self.journal.last_index)

    def apply(self, index: int, entry: bytes) -> Applied | None:
        """Apply one committed entry."""
        self.journal.sync()  # nothing is applied that could be lost
        if self.leading and self.others and index == self.applied + 1 and self._told is None:
            self._core.send_entries()  # so that all apply at the same time
            self._told = self.commit, self.journal.last_index
        term = self.journal.term_at(index)
        if term is None:
            raise Damaged(f"entry {index} is committed but not in the journal")
        kind = entry[:1]
        if kind == REGULAR:
            done = self._state.apply(index, term, entry[1:])
            self._on_applied(done)
            return done
        if kind not in (NO_OP, MEMBERSHIP):
            raise Damaged(f"entry {index} is of kind {kind!r}, which nothing here writes")
        self._state.mark(index, term)
        if (change := configuration.decode(entry)) is not None:
            self._on_members(change)
        elif self.ready:
            self._on_ready()
        return None

    def _wires(self) -> Wires:
        return Wires(
            self._core._poller, connected=self.connected, ended=self.ended, receive=self.receive
        )

    def _run(self) -> None:
        try:
            while not self._stopping:
                self.tick(TICK_SECONDS)
            self.journal.sync()
        except DiskReadOnly as error:
            if not self._stopping:
                self._crash(repr(error))
        except Exception as error:
            log.exception("tick")
            self._crash(repr(error))

    def _bear_with(self) -> bool:
        """Hold still while the disk takes no writes; whether to try again.

        Nothing is half done: the others take it for a pause, and reads go on meanwhile.
        """
        if not self.stalled:
            log.critical("the disk is read-only: nothing is written until it is mended")
        self.stalled = True
        time.sleep(RETRY_DISK_SECONDS)
        return not self._stopping

    def _send(self, member: str, message: Message) -> bool:
        return self.carrier.send(member, messages.encode(message))

    def _deliver(self, member: str, message: Message) -> None:
        self._core.deliver(member, message)
        if message["type"] == "append_entries" and self.leader == member:
            self.peers.led()

    def _members_changed(self, change: MemberChange | None) -> None:
        self.others = self._core.others
        self._on_members(change)

    def _hold_election(self) -> None:
        """Put off an election that could not be won, or would unseat a leader others hear (M5)."""
        core, now = self._core, self._clock()
        if not core.elects(now):
            return
        wanted = not self.others or core.asked_to_lead or self.peers.may_campaign()
        if not self.standing or self.installing or not wanted:
            core.put_off_election(now + HOLD_SECONDS)

    def _after_commands(self) -> None:
        """Runs in each tick, after new entries were added and before it waits for more."""
        self.journal.sync()
        if self.alone:
            if self.leading and self.journal.last_index > self.commit:
                self._wake()  # nothing else would end the wait: commit in the next tick, now
            return
        self.carrier.end_silent()
        peers = self.peers
        peers.tick()
        self._quorum = peers.quorum()
        self._lease_until = peers.lease_until()

    def _between_ticks(self) -> None:
        if self.stalled:
            self.stalled = False
            log.warning("the disk takes writes again")
        while self._waiting:
            self._waiting.popleft()()
        while self._links:
            link = self._links.popleft()
            if isinstance(self.carrier, Wires):
                self.carrier.adopt(link)
        shown = self.peers.shown() if self.others else None
        if shown != self._shown:
            self._shown = shown
            self._on_shown(shown)
        self._move_snapshots()
        if not self.snapshots.idle:
            return
        if self.snapshots.failed():
            self._not_before = self._clock() + RETRY_SNAPSHOT_SECONDS
            self._answer_snapshots(None)
        if self.snapshots.meta is not None:
            self._answer_snapshots(self.snapshots.meta.index)
        self._compact()
        if self._wanted or self._due():
            self._core.compact(again=self.snapshots.meta is None)

    def _begin_compaction(self) -> bool:
        """Whether one is under way now."""
        meta = self.snapshots.meta
        if self._compaction is None and meta is not None:
            if not self.snapshots.has_room(2 * meta.size):
                return False
            path = self.snapshots.path / meta.file
            self._compaction = Compaction(self._state, self.journal, path, self.snapshots.beside)
        return self._compaction is not None

    def _compact(self) -> None:
        """After each snapshot look whether much would be won; go on with what is under way."""
        meta = self.snapshots.meta
        if meta is not None and meta.index != self._looked_at:
            self._looked_at = meta.index
            if worth_it(self._state.size(), meta.size):
                log.info("the rows take %d bytes and need %d", self._state.size(), meta.size)
                self._begin_compaction()
            elif self.journal.size > JOURNAL_SPARE * self._snapshot_bytes:
                self._shorten_journal()
        if self._compaction is None:
            return
        done = self._compaction.step(may_end=not self.snapshots.moving)
        if done is None:
            self._wake()
            return
        self._compaction = None
        if done:
            self._shorten_journal()
            log.info("the rows were made anew, %d bytes", self._state.size())
        waiting, self._compacted = self._compacted, []
        for tell in waiting:
            tell(done)

    def _shorten_journal(self) -> None:
        if self.journal.bytes <= JOURNAL_ANEW_BYTES_MAX:
            try:
                self.journal.compact()
            except DiskFull as error:
                log.warning("the journal keeps its size: %s", error)

    def _move_snapshots(self) -> None:
        """Go on sending one, and take over one that has arrived whole."""
        if self.snapshots.sending:
            if self.snapshots.refill():
                self._wake()
            self._core.send_more()
        progress, leader = self.snapshots.progress(), self.leader
        if progress is not None and leader is not None:
            transfer, number = progress
            self._send(leader, {"type": "taken", "transfer": transfer, "number": number})
        arrived = self.snapshots.arrived()
        if arrived is None:
            return
        if arrived.meta.index <= self.commit:
            self.snapshots.refuse(arrived)
            return
        self.snapshots.take_over(arrived)
        meta = arrived.meta
        if not self._core.take_over(meta.index):
            self._crash(f"the snapshot at {meta.index} was not taken over")
            return
        self.journal.setRaftCommitIndex(meta.index)
        self.journal.sync()
        self.standing = self.member in meta.members
        self._members_changed(None)
        self._on_installed(meta.index)
        if leader is not None and leader != self.member:
            answer = {"next_node_idx": meta.index + 1, "reset": True, "success": True}
            self.guard.outgoing(leader, {"type": "next_node_idx", **answer})

    def _answer_snapshots(self, index: int | None) -> None:
        """Tell those who are served by a snapshot at `index`; everyone when there is none."""
        waiting, self._wanted = self._wanted, []
        for wanted, done in waiting:
            if index is None or wanted <= index:
                done(index)
            else:
                self._wanted.append((wanted, done))

    def _due(self) -> bool:
        if self._clock() < self._not_before:
            return False
        journal = self.journal
        unguarded = self.snapshots.meta is None and journal.first_index > 0
        lent = self.snapshots.sending or self.snapshots.lent
        most = 4 if lent else 1  # who is sent one should find its end here
        return unguarded or (
            journal.bytes > most * self._snapshot_bytes
            or len(journal) > most * self._snapshot_entries
        )

    def _wake(self) -> None:
        self._core.wake()
