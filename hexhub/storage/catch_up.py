"""Fetches, in the background, the objects that the tables point to and this node does not hold."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import structlog

from cluster import Change, Record, Store
from hexhub.errors import HubError
from hexhub.storage.peers import PeerStorage

SETTLE_S = 0.5
"""The publishing node is most likely sending a new object here already."""
AGAIN_S = 2.0
AGAIN_MOST_S = 60.0
LOOK_EVERY_S = 600.0
"""How often everything is compared, in case an object went away here."""


class CatchUp:
    """Keeps one node's objects complete.

    `pointed_to` names every checksum in the tables, `of` those of one record of `carriers`.
    """

    def __init__(
        self,
        storage: PeerStorage,
        store: Store,
        carriers: tuple[type[Record], ...],
        of: Callable[[Record | None], tuple[bytes, ...]],
        pointed_to: Callable[[Store], Awaitable[Iterable[bytes]]],
    ) -> None:
        self._storage = storage
        self._store = store
        self._carriers = carriers
        self._of = of
        self._pointed_to = pointed_to
        self._new: dict[bytes, None] = {}
        self._everything = True
        self._wake = asyncio.Event()
        store.subscribe(self._changed)

    def _changed(self, change: Change) -> None:
        if change.keys is None:
            self._everything = True
            self._wake.set()
            return
        carried = [(kind, key) for kind, key in change.keys if kind in self._carriers]
        if not carried:
            return
        with self._store.view() as view:
            for kind, key in carried:
                self._new |= dict.fromkeys(self._of(view.get(kind, *key)))
        self._wake.set()

    async def run(self) -> None:
        """Fetch what is missing, for ever; what no peer has now is asked for again later."""
        pause = AGAIN_S
        while True:
            await self._note_missing()
            before = self._storage.behind
            await self._fetch()
            left = self._storage.behind
            pause = AGAIN_S if left < before or not left else min(pause * 2, AGAIN_MOST_S)
            await self._rest(pause if left else LOOK_EVERY_S)

    async def _rest(self, seconds: float) -> None:
        """Until something changed, or it is time to compare everything again."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
                self._wake.clear()
                await asyncio.sleep(SETTLE_S)
        except TimeoutError:
            self._everything = True

    async def _note_missing(self) -> None:
        wanted, self._new = self._new, {}
        if self._everything:
            self._everything = False
            wanted = dict.fromkeys(await self._pointed_to(self._store))
            self._storage.wanted.clear()
        self._storage.wanted |= dict.fromkeys(await self._storage.missing(wanted))

    async def _fetch(self) -> None:
        for checksum in list(self._storage.wanted):
            try:
                if await self._storage.missing([checksum]):
                    await self._storage.fetch(checksum)
                self._storage.wanted.pop(checksum, None)
            except HubError as error:
                structlog.get_logger().info(
                    "object still missing", object=checksum.hex(), reason=str(error)
                )
            except OSError as error:
                structlog.get_logger().warning("object not kept", reason=str(error))
