"""One file of the upstream, kept: fresh, stale or fetched, by one request for all who ask.

Fresh copies are answered at once; for a while longer they are answered at once and revalidated
behind the answer; after that the upstream gets a short time, and then the copy is served as it is.
A fetch belongs to nobody: whoever asked may go away, it ends by itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias, TypeVar

import structlog

from hexhub.errors import HubError, NotFound, Unavailable, Unreachable, UpstreamWrong
from hexhub.repositories.copies import Copies
from hexhub.repositories.together import Together, Vouched
from hexhub.repositories.upstream import Fetched, Site, Upstream
from hexhub.schema import Kept
from hexhub.storage import Storage
from hexhub.storage.memory import SmallBlobs

T = TypeVar("T")
State: TypeAlias = Literal["hit", "miss", "stale", "revalidated"]
Verify: TypeAlias = Callable[[str, Fetched, Kept | None], Awaitable[None]]
"""Look at what came for a path, beside the copy that is kept. Raises UpstreamWrong."""

COLD_WAIT_S = 12.0
"""Longest wait of a client for a file that is not kept: less than what Hex waits."""
FETCHES_MAX = 1000
"""Files asked of the upstream at one time; more are refused at once."""
FAILED_FOR = timedelta(seconds=5)
"""How long a failure is the answer before the upstream is asked again."""
STORED_AT_ONCE = 2
LANDS_AFTER_S = 0.01
LANDING_MAX = 100
"""Small files that may be answered from memory before they are in storage."""
REMEMBERED_MAX = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How the files of one kind are fetched and kept."""

    site: Site
    size_max: int
    verify: Verify
    fresh: timedelta | None = timedelta(seconds=60)
    """None: for ever."""
    stale: timedelta = timedelta(seconds=60)
    """How long after that a copy is answered at once while it is revalidated."""
    absent: timedelta = timedelta(seconds=30)
    """How long a 404 is remembered."""
    accept: str | None = None
    early: bool = False
    """Whether small files are answered from memory while they are on their way to the disk."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A kept copy as an answer. `age` counts from when the upstream last vouched for it."""

    row: Kept
    state: State
    age: timedelta
    failed: bool = False
    """Whether the upstream was asked in vain."""


class Mirrored:
    def __init__(
        self,
        upstream: Upstream,
        copies: Copies,
        storage: Storage,
        small: SmallBlobs,
        now: Callable[[], datetime],
    ) -> None:
        self._upstream = upstream
        self._copies = copies
        self._storage = storage
        self._small = small
        self._now = now
        self._fetches: dict[str, tuple[asyncio.Future[Kept], float]] = {}
        """By path: what comes of its fetch, and since when that is under way."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._checked: dict[str, datetime] = {}
        self._absent: dict[str, datetime] = {}
        self._failed: dict[str, tuple[datetime, HubError]] = {}
        self._storing = asyncio.Semaphore(STORED_AT_ONCE)
        self.landing = 0
        """Small files that are in storage soon."""
        self.together: Together | None = None
        """The other members of a cluster; one of them may ask for all."""
        self.answers: Counter[str] = Counter()
        """Answers by state."""

    @property
    def under_way(self) -> int:
        """Files that are being fetched, wait for it, or are on their way to the disk."""
        return len(self._tasks)

    async def get(
        self, path: str, kind: Kind, *, at: str | None = None, newer_than: datetime | None = None
    ) -> Copy:
        """The copy of a path; `at` is its path at the upstream when that differs.

        `newer_than`: a copy that the upstream did not vouch for after that moment is revalidated
        first. Raises NotFound, Unreachable, UpstreamWrong, Unavailable.
        """
        copy = await self._get(path, kind, at or path, newer_than)
        self.answers[copy.state] += 1
        self._copies.used(path, self._now())
        return copy

    async def _get(self, path: str, kind: Kind, at: str, newer_than: datetime | None) -> Copy:
        row = self._copies.get(path)
        if row is None:
            return Copy(await self._cold(path, kind, at), "miss", timedelta())
        age = self._age(row)
        if newer_than is not None and self.checked_at(row) <= newer_than:
            return await self._revalidated(row, kind, at)
        if kind.fresh is None or age < kind.fresh:
            return Copy(row, "hit", age)
        if self._has_failed(path) is not None:
            return Copy(row, "stale", age, failed=True)
        if age < kind.fresh + kind.stale:
            self._begin(path, kind, at)
            return Copy(row, "stale", age)
        return await self._revalidated(row, kind, at)

    async def _cold(self, path: str, kind: Kind, at: str) -> Kept:
        until = self._absent.get(path)
        if until is not None and self._now() < until:
            raise NotFound
        failed = self._has_failed(path)
        if failed is not None:
            raise failed.with_traceback(None)
        try:
            return await self._outcome(path, kind, at, COLD_WAIT_S)
        except TimeoutError:
            raise Unreachable("the upstream is slow; the file is still being fetched", 5) from None

    async def _revalidated(self, row: Kept, kind: Kind, at: str) -> Copy:
        if self._has_failed(row.path) is not None:
            return Copy(row, "stale", self._age(row), failed=True)
        try:
            new = await self._outcome(row.path, kind, at, self._upstream.settings.wait_s)
        except NotFound:
            # Gone at the upstream. A lock file may pin what we hold: it is served for ever.
            return Copy(row, "stale", self._age(row))
        except (TimeoutError, Unavailable, UpstreamWrong):
            return Copy(row, "stale", self._age(row), failed=True)
        return Copy(new, "revalidated", self._age(new))

    async def _outcome(self, path: str, kind: Kind, at: str, wait_s: float) -> Kept:
        """Wait for a fetch that was begun at most `wait_s` ago. Raises TimeoutError."""
        outcome, since = self._begin(path, kind, at)
        async with asyncio.timeout_at(since + wait_s):
            return await asyncio.shield(outcome)

    def _begin(self, path: str, kind: Kind, at: str) -> tuple[asyncio.Future[Kept], float]:
        """The fetch of a path that is under way, or a new one."""
        fetch = self._fetches.get(path)
        if fetch is None:
            if len(self._fetches) >= FETCHES_MAX:
                raise Unavailable("too many files are being fetched from the upstream", 5)
            loop = asyncio.get_running_loop()
            outcome: asyncio.Future[Kept] = loop.create_future()
            fetch = self._fetches[path] = (outcome, loop.time())
            task = loop.create_task(self._run(path, kind, at, outcome))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return fetch

    async def _run(self, path: str, kind: Kind, at: str, outcome: asyncio.Future[Kept]) -> None:
        """Fetch a file and settle what those who asked wait for, which may be before the end."""

        def settle(row: Kept, checked_at: datetime | None = None) -> None:
            if outcome.done():
                return
            self._absent.pop(path, None)
            self._failed.pop(path, None)
            _remember(self._checked, path, checked_at or self._now())
            self._fetches.pop(path, None)
            outcome.set_result(row)

        try:
            vouched = await self._from_another(path)
            if vouched is not None:
                settle(vouched.row, vouched.checked_at)
            else:
                settle(await self._fetch(path, kind, at, settle))
        except asyncio.CancelledError:
            self._fetches.pop(path, None)
            outcome.cancel()
            raise
        except Exception as error:
            if outcome.done():
                structlog.get_logger().warning("a copy was not kept", path=path, reason=str(error))
                return
            self._fetches.pop(path, None)
            outcome.set_exception(error)
            outcome.exception()  # each who waits sees it; nobody may wait

    async def _from_another(self, path: str) -> Vouched | None:
        """A copy that another member of the cluster has got for all. Raises NotFound."""
        if self.together is None:
            return None
        again = self._now() - FAILED_FOR if self._copies.get(path) is not None else None
        vouched = await self.together.fetch(path, again)
        if vouched is not None:
            self._copies.put(vouched.row)
        return vouched

    async def vouch(self, path: str, kind: Kind, newer_than: datetime | None) -> Vouched:
        """Get a file for another member: an answer once its bytes are in storage here."""
        copy = await self.get(path, kind, newer_than=newer_than)
        if copy.failed:
            raise Unreachable("the upstream cannot be asked here")
        async with asyncio.timeout(COLD_WAIT_S):
            await self._copies.landing(path)
        return Vouched(copy.row, self.checked_at(copy.row))

    async def _fetch(self, path: str, kind: Kind, at: str, settle: Callable[[Kept], None]) -> Kept:
        old = self._copies.get(path)

        async def take(fetched: Fetched) -> Kept:
            await kind.verify(path, fetched, old)
            return await self._keep(path, fetched, old, settle if kind.early else None)

        try:
            new = await self._upstream.fetch(
                kind.site,
                at,
                take,
                size_max=kind.size_max,
                etag=old.etag if old else None,
                accept=kind.accept,
            )
        except NotFound:
            _remember(self._absent, path, self._now() + kind.absent)
            raise
        except HubError as error:
            self._note_failure(path, error)
            raise
        row = new if new is not None else old
        assert row is not None
        return row

    async def _keep(
        self,
        path: str,
        fetched: Fetched,
        old: Kept | None,
        settle: Callable[[Kept], None] | None = None,
        at: datetime | None = None,
    ) -> Kept:
        """Put verified bytes in storage; `settle` is told before that, for answers from memory."""
        if old is not None and (old.checksum, old.etag) == (fetched.checksum, fetched.etag):
            return old
        row = Kept(
            path=path,
            checksum=fetched.checksum,
            size=fetched.size,
            upstream=self._upstream.settings.urls["repo"],
            etag=fetched.etag,
            fetched_at=at or self._now(),
        )
        # A disk that is slower than the upstream is waited for, before memory fills.
        early = settle is not None and self.landing < LANDING_MAX
        if early and settle is not None and isinstance(fetched.held, bytes):
            self._small.put(fetched.checksum, fetched.held)
            self._copies.arrive(row)
            settle(row)
        try:
            await self._store(fetched, LANDS_AFTER_S if early else 0.0)
        except BaseException:
            self._copies.vanish(row)
            raise
        self._copies.put(row)
        return row

    async def _store(self, fetched: Fetched, after_s: float) -> None:
        if not isinstance(fetched.held, bytes):
            await self._storage.keep(fetched.held)
            return
        self.landing += 1
        try:
            # Answers come first, those too that are due at the same moment; nobody waits for this.
            await asyncio.sleep(after_s)
            whole, size = _whole(fetched.held), fetched.size
            async with (
                self._storing,
                self._upstream.spool.take(whole, size, in_memory=size) as spooled,
            ):
                await self._storage.keep(spooled)
        finally:
            self.landing -= 1

    async def bring(
        self, path: str, kind: Kind, fetched: Fetched, vouched_at: datetime
    ) -> tuple[Kept, bool]:
        """Keep a file that came by another way, after the same checks; whether it is new here.

        `vouched_at` is when the upstream gave it. Raises UpstreamWrong.
        """
        old = self._copies.get(path)
        if old is not None and old.checksum == fetched.checksum:
            return old, False
        await kind.verify(path, fetched, old)
        self._absent.pop(path, None)
        self._checked.pop(path, None)
        row = await self._keep(path, fetched, None, at=min(vouched_at, self._now()))
        return row, True

    def forget(self, path: str) -> None:
        """Drop a copy and what is remembered of its path."""
        self._checked.pop(path, None)
        self._absent.pop(path, None)
        self._failed.pop(path, None)
        self._copies.drop(path)

    def forgive(self, path: str) -> None:
        """Ask again although the last answer was wrong."""
        self._failed.pop(path, None)

    def checked_at(self, row: Kept) -> datetime:
        """When the upstream last vouched for a copy, as far as this node knows."""
        return max(self._checked.get(row.path, row.fetched_at), row.fetched_at)

    def _note_failure(self, path: str, error: HubError) -> None:
        _remember(self._failed, path, (self._now() + FAILED_FOR, error))
        if isinstance(error, UpstreamWrong):
            self.answers["refused"] += 1
            structlog.get_logger().warning("upstream refused", path=path, reason=str(error))

    def _has_failed(self, path: str) -> HubError | None:
        failed = self._failed.get(path)
        return failed[1] if failed is not None and self._now() < failed[0] else None

    def _age(self, row: Kept) -> timedelta:
        return max(timedelta(), self._now() - self.checked_at(row))

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _whole(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _remember(memory: dict[str, T], path: str, value: T) -> None:
    while len(memory) >= REMEMBERED_MAX:
        memory.pop(next(iter(memory)))
    memory[path] = value
