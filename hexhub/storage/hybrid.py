"""A bucket that holds everything, and a bounded folder of what was asked for last in front of it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from datetime import datetime

from hexhub.errors import NotFound, StorageFull
from hexhub.storage import Blob, Spooled
from hexhub.storage.local import Damaged, LocalStorage
from hexhub.storage.s3 import S3Storage
from hexhub.storage.spool import Spool


class HybridStorage:
    """The bucket decides; a copy here only saves the way. `size_max` bounds the copies, in bytes."""

    def __init__(self, bucket: S3Storage, local: LocalStorage, spool: Spool, size_max: int) -> None:
        self.bucket = bucket
        self._local = local
        self._spool = spool
        self.size_max = size_max
        self._used: OrderedDict[bytes, int] = OrderedDict()
        self._size = 0
        self._fetching: dict[bytes, asyncio.Task[None]] = {}
        self.hits = 0
        self.misses = 0

    async def begin(self) -> None:
        """Take up the copies of an earlier run, the oldest first."""
        there = sorted([each async for each in self._local.names()], key=lambda each: each[2])
        for checksum, size, _ in there:
            self._note(checksum, size)
        await self._evict()

    @property
    def damaged(self) -> int:
        return self.bucket.damaged + self._local.damaged

    @property
    def repaired(self) -> int:
        return self.bucket.repaired + self._local.repaired

    @property
    def behind(self) -> int:
        return 0

    @property
    def cached_bytes(self) -> int:
        """Bytes of the copies here."""
        return self._size

    async def put(self, spooled: Spooled) -> None:
        """Into the bucket first; the copy here may fail."""
        await self.bucket.put(spooled)
        await self._copy(spooled)

    async def keep(self, spooled: Spooled) -> None:
        await self.put(spooled)

    async def open(self, checksum: bytes) -> Blob:
        try:
            blob = await self._local.open(checksum)
        except (NotFound, Damaged):
            self.misses += 1
            return await self._brought(checksum)
        self.hits += 1
        self._note(checksum, blob.size)
        await self._local.renew(checksum, blob.size)
        return blob

    async def _brought(self, checksum: bytes) -> Blob:
        """A copy made now, once however many ask; without room here, the bucket's own."""
        task = self._fetching.get(checksum)
        if task is None:
            task = asyncio.create_task(self._fetch(checksum))
            self._fetching[checksum] = task
            task.add_done_callback(lambda _: self._fetching.pop(checksum, None))
        try:
            await asyncio.shield(task)
            return await self._local.open(checksum)
        except (StorageFull, NotFound):
            return await self.bucket.open(checksum)

    async def _fetch(self, checksum: bytes) -> None:
        blob = await self.bucket.open(checksum)
        if blob.size > self.size_max // 2:
            raise StorageFull("larger than what is kept here")
        async with self._spool.take(blob.chunks(0, blob.size), blob.size) as spooled:
            await self._local.put(spooled)
        self._note(checksum, blob.size)
        await self._evict()

    async def _copy(self, spooled: Spooled) -> None:
        try:
            await self._local.put(spooled)
        except (OSError, StorageFull):
            return
        self._note(spooled.checksum, spooled.size)
        await self._evict()

    def _note(self, checksum: bytes, size: int) -> None:
        self._size += size - self._used.pop(checksum, 0)
        self._used[checksum] = size

    async def _evict(self) -> None:
        while self._size > self.size_max and self._used:
            checksum, size = self._used.popitem(last=False)
            self._size -= size
            await self._local.drop(checksum)

    async def redirect(self, checksum: bytes) -> str | None:
        return await self.bucket.redirect(checksum)

    async def missing(self, checksums: Iterable[bytes]) -> list[bytes]:
        return await self.bucket.missing(checksums)

    async def sweep(self, keep: Iterable[bytes], *, older_than_s: float, applied: int = 0) -> int:
        return await self.bucket.sweep(keep, older_than_s=older_than_s, applied=applied)

    async def erase(self, checksum: bytes) -> None:
        await self.bucket.erase(checksum)
        await self._local.erase(checksum)

    def names(self) -> AsyncIterator[tuple[bytes, int, datetime]]:
        """As of the bucket."""
        return self.bucket.names()

    async def writable(self) -> bool:
        return await self.bucket.writable()

    async def close(self) -> None:
        for task in list(self._fetching.values()):
            task.cancel()
        await asyncio.gather(*self._fetching.values(), return_exceptions=True)
        await self.bucket.close()
        await self._local.close()
