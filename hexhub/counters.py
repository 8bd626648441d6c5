"""What happens per request and must not go through the log one by one: downloads, key uses.

Summed here, proposed in batches every few seconds and when the node stops.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from cluster import ClusterError
from hexhub.domain import downloads, keys, sessions
from hexhub.schema import Key, KeyUse, Release, SessionUse

if TYPE_CHECKING:
    from cluster import Store

FLUSH_EVERY_S = 5.0
KEY_USE_EVERY = timedelta(minutes=5)
BATCH_MAX = 500
WAITING_MAX = 50_000
USER_AGENT_LENGTH_MAX = 255


class Counters:
    """Sums of one node. What a crash loses is at most the last few seconds of counting."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._downloads: Counter[tuple[str, str, str, str]] = Counter()
        self._uses: dict[str, KeyUse] = {}
        self._flushing = asyncio.Lock()
        self._session_uses: dict[str, SessionUse] = {}
        self.sources: list[Callable[[], None]] = []
        """Called before each flush: whoever sums for itself tells then."""

    def download(self, release: Release, now: datetime) -> None:
        """Count one fetch of a tarball."""
        self.downloads(release.repository, release.package, release.version, now, 1)

    def downloads(
        self, repository: str, package: str, version: str, now: datetime, times: int
    ) -> None:
        """Count so many fetches of a tarball."""
        row = (repository, package, version, now.date().isoformat())
        if row in self._downloads or len(self._downloads) < WAITING_MAX:
            self._downloads[row] += times

    def key_use(self, key: Key, now: datetime, ip: str, user_agent: str) -> None:
        """Note the use of a key, at most once per five minutes (http-api.md §2.2)."""
        if key.lookup in self._uses or len(self._uses) >= WAITING_MAX:
            return
        with self._store.view() as view:
            last = view.get(KeyUse, key.lookup)
        if last is None or now - last.used_at >= KEY_USE_EVERY:
            self._uses[key.lookup] = KeyUse(
                lookup=key.lookup,
                used_at=now,
                ip=ip,
                user_agent=user_agent[:USER_AGENT_LENGTH_MAX],
            )

    def session_use(self, session: str, now: datetime, ip: str, user_agent: str) -> None:
        """Note the use of a session, at most once per five minutes; the least used ends first."""
        if session in self._session_uses or len(self._session_uses) >= WAITING_MAX:
            return
        with self._store.view() as view:
            last = view.get(SessionUse, session)
        if last is None or now - last.used_at >= KEY_USE_EVERY:
            self._session_uses[session] = SessionUse(
                session=session,
                used_at=now,
                ip=ip,
                user_agent=user_agent[:USER_AGENT_LENGTH_MAX],
            )

    async def run(self) -> None:
        """Flush for ever. A flush that has begun ends even when this is cancelled, lest it count twice."""
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            await asyncio.shield(self.flush())

    async def flush(self) -> None:
        """Propose what was counted. When that fails the counts stay for the next time."""
        async with self._flushing:
            for tell in self.sources:
                tell()
            await self._flush()

    async def _flush(self) -> None:
        try:
            while self._downloads:
                batch = dict(list(self._downloads.items())[:BATCH_MAX])
                await self._store.transact(downloads.add, batch)
                self._downloads.subtract(batch)
                self._downloads = +self._downloads
            while self._uses:
                uses = list(self._uses.values())[:BATCH_MAX]
                await self._store.transact(keys.record_uses, uses)
                for use in uses:
                    del self._uses[use.lookup]
            while self._session_uses:
                seen = list(self._session_uses.values())[:BATCH_MAX]
                await self._store.transact(sessions.record_uses, seen)
                for session_use in seen:
                    del self._session_uses[session_use.session]
        except ClusterError as error:
            structlog.get_logger().warning("counters kept for later", error=str(error))
