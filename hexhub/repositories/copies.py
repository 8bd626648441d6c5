"""The kept copies: which files of the upstream we hold, their bytes in storage, when last asked for.

Bytes are in storage before a row points to them. Rows go to the tables in batches a moment later;
until then, and while the tables cannot be written, this node answers from memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from cluster import ClusterError
from hexhub.domain import kept
from hexhub.schema import Kept, KeptUse

if TYPE_CHECKING:
    from cluster import Store

FLUSH_AFTER_S = 0.05
AGAIN_AFTER_S = 5.0
AGAIN_MAX = 720
"""Tries of one run; the next copy begins another."""
WAITING_MAX = 20_000
BATCH_MAX = 500
USE_EVERY = timedelta(hours=1)


class Copies:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[str, Kept | None] = {}
        """Rows on their way to the tables; None for one to be deleted."""
        self._arriving: dict[str, tuple[Kept, asyncio.Event]] = {}
        """Rows whose bytes are verified and in memory, but not in storage yet."""
        self._uses: dict[str, KeptUse] = {}
        self._noted: dict[str, datetime] = {}
        self._flushing: asyncio.Task[None] | None = None

    def get(self, path: str) -> Kept | None:
        """The kept copy of a path."""
        if path in self._arriving:
            return self._arriving[path][0]
        if path in self._waiting:
            return self._waiting[path]
        with self._store.view() as view:
            return view.get(Kept, path)

    def all(self) -> Iterator[Kept]:
        """Every kept copy, by path."""
        with self._store.view() as view:
            rows = {row.path: row for row in view.scan(Kept)}
        for path, row in self._waiting.items():
            if row is None:
                rows.pop(path, None)
            else:
                rows[path] = row
        return iter([rows[path] for path in sorted(rows)])

    def last_used(self, row: Kept) -> datetime:
        """When a copy was last asked for, to the hour."""
        use: KeptUse | None = self._uses.get(row.path)
        if use is None:
            with self._store.view() as view:
                use = view.get(KeptUse, row.path)
        return max(use.used_at, row.fetched_at) if use else row.fetched_at

    def put(self, row: Kept) -> None:
        """Keep a copy whose bytes are in storage."""
        self.vanish(row)
        self._write(row.path, row)

    def arrive(self, row: Kept) -> None:
        """Answer with a copy from memory until `put` says that its bytes are in storage."""
        self._landed(row.path)
        self._arriving[row.path] = (row, asyncio.Event())

    async def landing(self, path: str) -> None:
        """Wait until the bytes of a path are no longer on their way to storage."""
        if path in self._arriving:
            await self._arriving[path][1].wait()

    def _landed(self, path: str) -> None:
        if path in self._arriving:
            self._arriving.pop(path)[1].set()

    def vanish(self, row: Kept) -> None:
        """The bytes of an arriving copy did not get into storage."""
        if row.path in self._arriving and self._arriving[row.path][0] is row:
            self._landed(row.path)

    def drop(self, path: str) -> None:
        """Forget a copy; its bytes go with the next sweep."""
        self._landed(path)
        self._write(path, None)

    def used(self, path: str, now: datetime) -> None:
        """Note that a copy was asked for, at most once an hour."""
        noted = self._noted.get(path)
        if noted is not None and now - noted < USE_EVERY:
            return
        if len(self._noted) >= WAITING_MAX:
            self._noted.clear()
        self._noted[path] = now
        self._uses[path] = KeptUse(path=path, used_at=now)

    def _write(self, path: str, row: Kept | None) -> None:
        if len(self._waiting) >= WAITING_MAX:
            # The tables have not taken a row for long: what is lost here is fetched again.
            self._waiting.pop(next(iter(self._waiting)))
        self._waiting.pop(path, None)
        self._waiting[path] = row
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.get_running_loop().create_task(self._flush_soon())

    async def _flush_soon(self) -> None:
        await asyncio.sleep(FLUSH_AFTER_S)
        for _ in range(AGAIN_MAX):
            if await self.flush():
                return
            await asyncio.sleep(AGAIN_AFTER_S)

    async def flush(self) -> bool:
        """Write what waits; False when the tables cannot take it now: it stays for later."""
        try:
            while self._waiting:
                batch = dict(list(self._waiting.items())[:BATCH_MAX])
                await self._store.transact(kept.write, batch)
                for path, row in batch.items():
                    if self._waiting.get(path, row) is row:
                        self._waiting.pop(path, None)
            while self._uses:
                uses = list(self._uses.values())[:BATCH_MAX]
                await self._store.transact(kept.record_uses, uses)
                for use in uses:
                    if self._uses.get(use.path) is use:
                        del self._uses[use.path]
        except ClusterError as error:
            structlog.get_logger().warning("kept copies wait for the tables", error=str(error))
            return False
        return True

    async def close(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.gather(self._flushing, return_exceptions=True)
        await self.flush()
