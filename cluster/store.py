"""The replicated tables, as an application uses them: view, transact, barrier, subscribe."""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar

from cluster import command
from cluster.disk import State
from cluster.errors import (
    ClusterError,
    Conflict,
    DiskFull,
    KeyInvalid,
    NoLeader,
    OutcomeUnknown,
    Overloaded,
    TooLarge,
)
from cluster.machine import Applied, Outcome
from cluster.table import Record, Schema, unpack
from cluster.view import Transaction, View

log = logging.getLogger(__name__)

T = TypeVar("T")
P = ParamSpec("P")

DEADLINE_SECONDS: Final = 8.0
ATTEMPT_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 0.02
RUNS_MAX: Final = 16
YIELD_SECONDS: Final = 0.25
SHOW_SECONDS: Final = 1.0
"""How long a write that is done waits for other healthy members to show it."""

BATCH_ITEMS_MAX: Final = 512
BATCH_BYTES_MAX: Final = 512 * 1024
PROPOSAL_BYTES_MAX: Final = 1024 * 1024
IN_FLIGHT_MAX: Final = 2
QUEUE_ITEMS_MAX: Final = 4096
QUEUE_BYTES_MAX: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Change:
    """Rows that an applied entry changed: (record type, key parts) each.

    `keys` is None after a snapshot was installed: everything may have changed.
    """

    index: int
    keys: tuple[tuple[type[Record], tuple[str, ...]], ...] | None


class Raft(Protocol):
    """Whatever orders entries."""

    @property
    def ready(self) -> bool: ...
    @property
    def alone(self) -> bool: ...
    @property
    def lease_valid(self) -> bool: ...
    @property
    def lease_seconds(self) -> float: ...

    def propose(self, entry: bytes, answer: Callable[[Applied | None, bool], None]) -> None: ...
    def read(self, answer: Callable[[int | None], None]) -> None: ...
    def settle(self, index: int, answer: Callable[[int | None], None]) -> None: ...


class _Nobody:
    """What orders the entries of a node that belongs to no cluster yet."""

    ready = alone = lease_valid = False
    lease_seconds = 0.0

    def propose(self, entry: bytes, answer: Callable[[Applied | None, bool], None]) -> None:
        answer(None, True)

    def read(self, answer: Callable[[int | None], None]) -> None:
        answer(None)

    def settle(self, index: int, answer: Callable[[int | None], None]) -> None:
        answer(None)


class _Pending:
    """A proposal on its way: what it says, and whoever waits for its outcome."""

    __slots__ = ("future", "id", "index", "item")

    def __init__(self, id: bytes, item: bytes, future: asyncio.Future[Outcome | bool]) -> None:
        self.id = id
        self.item = item
        self.future = future
        self.index = 0


class _Sent:
    """A batch on its way; given up when its timer ends first."""

    __slots__ = ("batch", "timer")

    def __init__(self, batch: list[_Pending]) -> None:
        self.batch = batch
        self.timer: asyncio.TimerHandle | None = None


class Store:
    """The tables of one node. Everything here is called on its event loop."""

    def __init__(
        self,
        state: State,
        schema: Schema,
        *,
        room: Callable[[], bool] = lambda: True,
    ) -> None:
        self.schema: Final = schema
        self._state = state
        self._room = room
        self._raft: Raft = _Nobody()
        self._loop = asyncio.get_running_loop()
        self._subscribers: list[Callable[[Change], None]] = []
        self._first: list[Callable[[Change], None]] = []
        self._untold: deque[Change] = deque()  # applied, and not told on the loop yet
        self.around: Callable[[str], AbstractContextManager[object]] = nullcontext
        """Entered around each transaction, with the name of its work."""
        self._queue: deque[_Pending] = deque()
        self._queue_bytes = 0
        self._in_flight = 0
        self._pumping = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._again = asyncio.Lock()
        self._closed = False
        self._origin = secrets.token_bytes(8)
        self._counter = 0
        self._shown: int | None = None  # what the slowest healthy member has applied; None: nobody
        self._showing: list[tuple[int, int, asyncio.Future[None]]] = []
        self._read: asyncio.Future[bool] | None = None  # not asked yet: whoever comes may join
        self._reading: asyncio.Future[bool] | None = None

    def attach(self, raft: Raft, state: State | None = None) -> None:
        """Give it what orders its entries, and other rows than it began with."""
        self._raft = raft
        if state is not None:
            self._state = state

    @property
    def applied(self) -> int:
        """The index of the last entry applied here."""
        return self._state.applied[0]

    @property
    def waiting(self) -> tuple[int, int]:
        """How many proposals wait for their turn, and their bytes."""
        return len(self._queue), self._queue_bytes

    def view(self) -> View:
        """The tables as this node knows them now, for a `with` block without an await."""
        return View(self._state.read, self.schema)

    def subscribe(
        self, callback: Callable[[Change], None], *, at_once: bool = False
    ) -> Callable[[], None]:
        """Call `callback` after each entry that changed rows, before its transact returns.

        `at_once`: on the thread that applied it, before any member hears that it is applied here.
        What is returned ends it.
        """
        subscribers = self._first if at_once else self._subscribers
        subscribers.append(callback)
        return lambda: subscribers.remove(callback)

    def hear(self) -> None:
        """Tell the subscribers now of what is applied, which else happens in the loop's next round.

        A request that came after a write was acknowledged elsewhere may be read in this very one.
        """
        while self._untold:
            _call(self._subscribers, self._untold.popleft())

    async def transact(
        self, work: Callable[Concatenate[Transaction, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work` over the tables and commit what it wrote; its result once that is durable.

        `work` runs again when another transaction got in between, so it must be plain: no IO, no
        clock, no randomness; hand it those as arguments. What it raises passes on and writes
        nothing. Raises Conflict, NoLeader, OutcomeUnknown, Overloaded, TooLarge, DiskFull,
        KeyInvalid.
        """
        return await self.transact_behind(_nothing, work, *args, **kwargs)

    async def transact_behind(
        self,
        effect: Callable[[], Awaitable[None]],
        work: Callable[Concatenate[Transaction, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """`transact` with an effect outside the tables that its rows will point to.

        `effect` is awaited once, after `work` has run for the first time and before anything is
        ordered: what `work` refuses leaves no effect, and no row is ever there without it.
        """
        with self.around(f"{work.__module__.rpartition('.')[2]}.{_name(work)}"):
            result, commit = self._run(work, *args, **kwargs)
            await effect()
            deadline = self._loop.time() + DEADLINE_SECONDS
            if await self._committed(commit, deadline):
                return result
            try:  # those who lost go one at a time, so that each round lets one through
                await asyncio.wait_for(self._again.acquire(), deadline - self._loop.time())
            except TimeoutError:
                raise Conflict(f"{_name(work)} waited too long for its turn") from None
            try:
                for lost in range(RUNS_MAX - 1):
                    await self._give_way(lost)
                    result, commit = self._run(work, *args, **kwargs)
                    if await self._committed(commit, deadline):
                        return result
            finally:
                self._again.release()
            raise Conflict(f"{_name(work)} lost {RUNS_MAX} times in a row")

    async def _give_way(self, lost: int) -> None:
        """Let writers at other members through; one after the other they come to their turn."""
        if not self._raft.alone:
            await asyncio.sleep(random.uniform(0, min(0.002 * 2**lost, YIELD_SECONDS)))

    async def barrier(self) -> None:
        """Return once everything committed anywhere before this call is applied here.

        Alone, an entry is applied before it is acknowledged, so leading is enough; otherwise the
        leader is asked, once for all who ask in the same round. NoLeader when none answers within
        the deadline.
        """
        deadline = self._loop.time() + DEADLINE_SECONDS
        while not (self._raft.alone and self._raft.ready):
            left = deadline - self._loop.time()
            if left <= 0:
                raise NoLeader("no member leads")
            if not self._raft.alone and await self._ask_read(left):
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _ask_read(self, seconds: float) -> bool:
        if self._read is None:
            self._read = self._loop.create_future()
            self._loop.call_soon(self._begin_read)
        try:
            return await asyncio.wait_for(asyncio.shield(self._read), seconds)
        except TimeoutError:
            return False

    def _begin_read(self) -> None:
        """Ask the leader, when no other question is on its way; else when that is answered."""
        if self._reading is not None or self._read is None:
            return
        reading = self._reading = self._read
        self._read = None

        def answered(index: int | None) -> None:
            timer.cancel()
            if not reading.done():
                reading.set_result(index is not None)
            if self._reading is reading:
                self._reading = None
                self._begin_read()

        timer = self._loop.call_later(ATTEMPT_SECONDS, answered, None)
        self._raft.read(lambda index: self.post(answered, index))

    @property
    def current(self) -> bool:
        """Whether this node may answer a read with credentials without a barrier (its lease)."""
        return self._raft.lease_valid

    @property
    def current_seconds(self) -> float:
        """How long it may go on so without asking again, as far as it knows."""
        return self._raft.lease_seconds

    async def revoke(
        self, work: Callable[Concatenate[Transaction, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`transact` for what takes a right away: returns when no member can miss it.

        A member that is cut off is waited for until its lease has run out, under three seconds
        after it was last heard. OutcomeUnknown when that cannot be known within the deadline.
        """
        result = await self.transact(work, *args, **kwargs)
        deadline = self._loop.time() + DEADLINE_SECONDS
        index = self.applied
        while not self._raft.alone and not await self._settled(index):
            if self._loop.time() > deadline:
                raise OutcomeUnknown("it is written, but a member may not have heard of it")
            await asyncio.sleep(RETRY_SECONDS)
        return result

    async def _settled(self, index: int) -> bool:
        future: asyncio.Future[bool] = self._loop.create_future()

        def answered(found: int | None) -> None:
            if not future.done():
                future.set_result(found is not None)

        self._raft.settle(index, lambda found: self.post(answered, found))
        try:
            return await asyncio.wait_for(future, ATTEMPT_SECONDS * 1.5)
        except TimeoutError:
            return False

    def shown(self, index: int | None) -> None:
        """The slowest healthy other member has applied `index`; None when there is no other."""
        self._shown = index
        while self._showing and (index is None or self._showing[0][0] <= index):
            future = heapq.heappop(self._showing)[2]
            if not future.done():
                future.set_result(None)

    async def _visible(self, index: int) -> None:
        """Wait, not for long, until every healthy member shows entry `index`."""
        if self._shown is None or self._shown >= index:
            return
        future: asyncio.Future[None] = self._loop.create_future()
        self._counter += 1
        heapq.heappush(self._showing, (index, self._counter, future))
        timer = self._loop.call_later(SHOW_SECONDS, _show, future)
        try:
            await future
        finally:
            timer.cancel()

    def installed(self, index: int) -> None:
        """A snapshot has taken the place of the rows: everything may have changed."""
        self._tell(Change(index, None))

    def _run(
        self, work: Callable[Concatenate[Transaction, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> tuple[T, command.Commit | None]:
        """The result, and the word to ask for; None when nothing was written."""
        with Transaction(self._state.read, self.schema) as transaction:
            return work(transaction, *args, **kwargs), transaction.commit()

    async def _committed(self, commit: command.Commit | None, deadline: float) -> bool:
        """Whether this could be ordered as it was meant; if so it shows."""
        if commit is None:
            return True
        outcome, index = await self._order(commit, deadline)
        if outcome is Outcome.COMMITTED:
            await self._visible(index)
        return outcome is Outcome.COMMITTED

    async def propose(self, word: command.Word, deadline: float) -> Outcome:
        """Have one word ordered and applied at most once, however often that takes to ask."""
        return (await self._order(word, deadline))[0]

    async def _order(self, word: command.Word, deadline: float) -> tuple[Outcome, int]:
        """`propose`, and the index of the entry it was answered in."""
        self._counter += 1
        id = self._origin + self._counter.to_bytes(8, "big")
        item = command.encode(command.Proposal(id, word))
        if len(item) > PROPOSAL_BYTES_MAX:
            raise TooLarge(f"a transaction of {len(item)} bytes, more than {PROPOSAL_BYTES_MAX}")
        certain = True
        while (left := deadline - self._loop.time()) > 0:
            try:
                outcome, index = await self._attempt(id, item, min(left, ATTEMPT_SECONDS))
            except ClusterError as error:
                if certain:
                    raise
                raise OutcomeUnknown("proposed before, and not answered") from error
            if outcome is Outcome.REFUSED:
                raise KeyInvalid("the log refused a key no row can have")
            if isinstance(outcome, Outcome):
                return outcome, index
            certain = certain and outcome
            await asyncio.sleep(RETRY_SECONDS)
        if certain:
            raise NoLeader("no member leads")
        raise OutcomeUnknown("the deadline passed before the write was answered")

    async def _attempt(self, id: bytes, item: bytes, seconds: float) -> tuple[Outcome | bool, int]:
        """The outcome and its index, or whether this attempt certainly changed nothing."""
        if self._closed:
            raise NoLeader("this node is closing")
        if not self._room():
            raise DiskFull("too little room is left on the disk of the data directory")
        if len(self._queue) >= QUEUE_ITEMS_MAX or self._queue_bytes + len(item) > QUEUE_BYTES_MAX:
            raise Overloaded(f"{len(self._queue)} writes are waiting")
        pending = _Pending(id, item, self._loop.create_future())
        self._queue.append(pending)
        self._queue_bytes += len(item)
        self._pump_soon()
        timer = self._loop.call_later(seconds, _settle, pending, False)
        try:
            return await pending.future, pending.index
        finally:
            timer.cancel()

    def _pump_soon(self) -> None:
        self._idle.clear()
        if not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump)  # everything asked for in this round goes together

    def _pump(self) -> None:
        self._pumping = False
        while self._queue and self._in_flight < IN_FLIGHT_MAX:
            batch: list[_Pending] = []
            size = 0
            while self._queue and len(batch) < BATCH_ITEMS_MAX:
                if batch and size + len(self._queue[0].item) > BATCH_BYTES_MAX:
                    break
                pending = self._queue.popleft()
                self._queue_bytes -= len(pending.item)
                if not pending.future.done():
                    batch.append(pending)
                    size += len(pending.item)
            if batch:
                self._send(batch)
        if not self._in_flight and not self._queue:
            self._idle.set()

    def _send(self, batch: list[_Pending]) -> None:
        self._in_flight += 1
        sent = _Sent(batch)
        sent.timer = self._loop.call_later(ATTEMPT_SECONDS, self._answered, sent, None, False)

        def answer(done: Applied | None, certain: bool) -> None:
            self.post(self._answered, sent, done, certain)

        self._raft.propose(command.join([pending.item for pending in batch]), answer)

    def _answered(self, sent: _Sent, done: Applied | None, certain: bool) -> None:
        if sent.timer is None:
            return  # given up before
        sent.timer.cancel()
        sent.timer = None
        batch = sent.batch
        self._in_flight -= 1
        outcomes = done.outcomes if done is not None else ()
        if [id for id, _ in outcomes] == [pending.id for pending in batch]:
            for pending, (_, outcome) in zip(batch, outcomes, strict=True):
                pending.index = 0 if done is None else done.index
                _settle(pending, outcome)
        else:  # not an answer to what was asked: nobody knows
            for pending in batch:
                _settle(pending, certain)
        self._pump_soon()

    def applied_entry(self, done: Applied) -> None:
        """Called on the tick thread after an entry is applied, before anyone hears of it."""
        if not done.changed or not (self._first or self._subscribers):
            return
        keys = []
        for key in done.changed:
            name, *parts = unpack(key)
            if (table := self.schema.named(name)) is not None:
                keys.append((table.record, tuple(parts)))
        self._tell(Change(done.index, tuple(keys)))

    def _tell(self, change: Change) -> None:
        self._untold.append(change)  # first: who sees what `at_once` did can hear the rest
        _call(self._first, change)
        self.post(self.hear)

    def post(self, callback: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            if not self._loop.is_closed():
                raise  # otherwise nobody is left to tell

    async def close(self) -> None:
        """Take no more writes, and wait for those on their way."""
        self._closed = True
        with suppress(TimeoutError):  # whoever still waits then gets OutcomeUnknown
            await asyncio.wait_for(self._idle.wait(), DEADLINE_SECONDS)


def _call(callbacks: list[Callable[[Change], None]], change: Change) -> None:
    for callback in callbacks:
        try:
            callback(change)
        except Exception:
            log.exception("a subscriber failed at entry %d", change.index)


async def _nothing() -> None:
    """No effect outside the tables."""


def _name(work: Callable[..., object]) -> str:
    return getattr(work, "__qualname__", repr(work))


def _show(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _settle(pending: _Pending, outcome: Outcome | bool) -> None:
    if not pending.future.done():
        pending.future.set_result(outcome)
