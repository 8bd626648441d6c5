"""Erases the objects of what an administrator removed, on every node and in the bucket.

Each node hears of a removal by the table and erases what it holds itself. At its start it looks at
every removal again: one that came while it was down is no exception, and to erase what is gone
already costs a look.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from cluster import Change, ClusterError
from hexhub.domain import objects
from hexhub.errors import HubError
from hexhub.schema import Removed

if TYPE_CHECKING:
    from cluster import Store
    from hexhub.storage import Storage

LOOK_EVERY_S = 600.0


class Eraser:
    def __init__(self, store: Store, storage: Storage) -> None:
        self._store = store
        self._storage = storage
        self._done: set[bytes] = set()
        self._wake = asyncio.Event()
        store.subscribe(self._changed)

    def _changed(self, change: Change) -> None:
        if change.keys is None or any(record is Removed for record, _ in change.keys):
            self._wake.set()

    async def erase_removed(self) -> int:
        """Erase what is removed and not pointed to by anything else; how many objects were tried."""
        with self._store.view() as view:
            wanted = {checksum for row in view.scan(Removed) for checksum in row.objects}
            wanted -= self._done
            if wanted:
                wanted -= set(objects.pointed_to(view))
        for checksum in wanted:
            await self._storage.erase(checksum)
            self._done.add(checksum)
        return len(wanted)

    async def run(self) -> None:
        """Erase for ever. What cannot be erased now is tried again later."""
        while True:
            self._wake.clear()
            try:
                await self.erase_removed()
            except (HubError, ClusterError, OSError) as error:
                structlog.get_logger().warning("objects are erased later", error=str(error))
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                continue
