"""Full-text search over documentation: the newest docs of each package, indexed when they change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from cluster import Change
from hexhub import turns
from hexhub.domain import docs
from hexhub.errors import HubError
from hexhub.schema import Release
from hexhub.search import sources
from hexhub.search.index import Hit, Index
from hexhub.unpacked import Unpacked

if TYPE_CHECKING:
    from cluster import Store

T = TypeVar("T")

LIMIT_MAX = 50
WAITING_MAX = 8
"""Questions that may wait for the index at one time; more get no answer."""


class DocsSearch:
    """The index of a node, and the work of keeping it true."""

    def __init__(self, store: Store, unpacked: Unpacked, path: Path) -> None:
        self._store = store
        self._unpacked = unpacked
        self._path = path
        self._thread = ThreadPoolExecutor(1, "search")
        self._index: Index | None = None
        self._stale: set[tuple[str, str]] = set()
        self._all = True
        self._wake = asyncio.Event()
        self._wake.set()
        self._waiting = 0
        self._idle = asyncio.Event()
        store.subscribe(self._changed)

    def _changed(self, change: Change) -> None:
        if change.keys is None:
            self._all = True
        else:
            changed = {key[:2] for record, key in change.keys if record is Release}
            if not changed:
                return
            self._stale |= {(key[0], key[1]) for key in changed}
        self._idle.clear()
        self._wake.set()

    async def find(
        self,
        text: str,
        repositories: Sequence[str],
        *,
        package: str | None = None,
        limit: int = 20,
        offset: int = 0,
    ) -> list[Hit]:
        """What the documentation of these repositories says about a text, best first."""
        if self._waiting >= WAITING_MAX:
            return []
        self._waiting += 1
        try:
            return await self._run(
                lambda index: index.find(
                    text[:200], repositories, package, min(limit, LIMIT_MAX), offset
                )
            )
        finally:
            self._waiting -= 1

    async def settled(self) -> None:
        """Return once all that changed before is indexed."""
        await self._idle.wait()

    async def run(self) -> None:
        """Index what changed, for ever. What fails is logged and left out."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._catch_up()
            except asyncio.CancelledError:
                raise
            except Exception:
                structlog.get_logger().exception("search index fell behind")
                await asyncio.sleep(5)
            if not self._wake.is_set():
                self._idle.set()

    async def _catch_up(self) -> None:
        known = await self._run(lambda index: index.sources())
        if self._all:
            self._all = False
            self._stale |= set(known)
            async for rows in turns.rows(self._store, Release):
                self._stale |= {(row.repository, row.package) for row in rows if row.has_docs}
        while self._stale:
            repository, package = self._stale.pop()
            with self._store.view() as view:
                release = docs.latest_with_docs(view, repository, package)
            if release is None or release.docs_checksum is None:
                if (repository, package) in known:
                    await self._run(
                        lambda index, r=repository, p=package: index.remove(r, p)  # type: ignore[misc]
                    )
            elif known.get((repository, package)) != release.docs_checksum.hex():
                await self._put(release, release.docs_checksum)

    async def _put(self, release: Release, checksum: bytes) -> None:
        try:
            pack = await self._unpacked.get("docs", checksum)
        except HubError as error:
            structlog.get_logger().warning(
                "docs not indexed", package=release.package, error=str(error)
            )
            return

        def put(index: Index) -> None:
            found = sources.items(pack)
            index.put(release.repository, release.package, release.version, checksum.hex(), found)

        await self._run(put)

    async def _run(self, work: Callable[[Index], T]) -> T:
        def call() -> T:
            if self._index is None:
                self._index = Index(self._path)
            return work(self._index)

        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def close(self) -> None:
        """Close the file, after what is being done."""
        if self._index is not None:
            with contextlib.suppress(Exception):
                await self._run(lambda index: index.close())
        self._thread.shutdown()
