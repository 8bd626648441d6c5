"""Fetches the security advisories of a configured address once a day, on the node that leads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

import aiohttp
import structlog

from cluster import ClusterError
from hexhub.domain import advisories, audit
from hexhub.errors import Malformed
from hexhub.formats import osv

if TYPE_CHECKING:
    from cluster import Node

FETCH_EVERY_S = 24 * 3600.0
TRY_AGAIN_S = 900.0
FETCH_S = 300.0
SIZE_MAX = 64 * 1024 * 1024
BATCH = 20

FEED = audit.Origin(operator=True, user_agent="advisory feed")


class AdvisoryFeed:
    def __init__(self, node: Node, url: str, now: Callable[[], datetime]) -> None:
        self._node = node
        self._url = url
        self._now = now

    async def run(self) -> None:
        """Fetch for ever; what fails is tried again in a quarter of an hour."""
        log = structlog.get_logger()
        while True:
            pause = TRY_AGAIN_S
            if self._node.status().role == "leader":
                try:
                    changed = await self.fetch()
                    log.info("advisories fetched", changed=changed)
                    pause = FETCH_EVERY_S
                except (aiohttp.ClientError, OSError, TimeoutError, Malformed) as error:
                    log.warning("advisories are fetched later", error=str(error)[:300])
                except ClusterError as error:
                    log.warning("advisories are kept later", error=str(error))
            await asyncio.sleep(pause)

    async def fetch(self) -> int:
        """Fetch now; how many advisories are new or changed. Raises Malformed, ClientError."""
        data = await self._download()
        # Thousands of small files: unpacked and read beside the loop.
        entries = await asyncio.to_thread(_entries, data)
        changed, waiting = 0, iter(entries)
        while batch := list(islice(waiting, BATCH)):
            changed += len(
                await self._node.store.transact(advisories.put, FEED, batch, self._now())
            )
        return changed

    async def _download(self) -> bytes:
        timeout = aiohttp.ClientTimeout(total=FETCH_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(self._url) as response,
        ):
            response.raise_for_status()
            data = bytearray()
            async for chunk in response.content.iter_chunked(1 << 16):
                data += chunk
                if len(data) > SIZE_MAX:
                    raise Malformed(f"an export of more than {SIZE_MAX} bytes")
        return bytes(data)


def _entries(data: bytes) -> Sequence[osv.Entry]:
    return [osv.read(value) for value in osv.documents(data)]
