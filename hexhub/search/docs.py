"""Full-text search over documentation: the newest docs of each package, indexed when they change.

Of the upstream's packages those are searched whose documentation was once read through this hub and
is kept: the newest of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from cluster import Change, Record
from hexhub import turns
from hexhub.domain import docs, kept, upstream_names
from hexhub.errors import HubError
from hexhub.schema import PUBLIC, AllowedName, Kept, Package, Release, ReservedName
from hexhub.search import sources
from hexhub.search.index import Hit, Index
from hexhub.unpacked import Unpacked

if TYPE_CHECKING:
    from cluster import Store

T = TypeVar("T")

LIMIT_MAX = 50
KEPT_ITEMS_MAX = 1_000_000
"""When the index holds this many entries, documentation of the upstream is no longer added."""
WAITING_MAX = 8
"""Questions that may wait for the index at one time; more get no answer."""


@dataclass(frozen=True, slots=True)
class _Source:
    """An archive to search, and of what it is."""

    repository: str
    package: str
    version: str
    checksum: bytes
    ours: bool = True


class DocsSearch:
    """The index of a node, and the work of keeping it true."""

    def __init__(
        self, store: Store, unpacked: Unpacked, path: Path, *, upstream: bool = False
    ) -> None:
        """`upstream`: whether there is one, whose kept documentation is read here."""
        self._store = store
        self._upstream = upstream
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
            changed = self._named(change.keys)
            if not changed:
                return
            self._stale |= changed
        self._idle.clear()
        self._wake.set()

    def _named(self, keys: Iterable[tuple[type[Record], tuple[str, ...]]]) -> set[tuple[str, str]]:
        """The packages whose documentation may be another one now."""
        found: set[tuple[str, str]] = set()
        for record, key in keys:
            if record is Release:
                found.add((key[0], key[1]))
            elif not self._upstream:
                continue
            elif record is Package:
                found.add((PUBLIC, key[1]))
            elif record is Kept and (name := kept.docs_name(key[0])):
                found.add((PUBLIC, name))
            elif record in (AllowedName, ReservedName):
                found |= self._kept_names()
        return found

    def _kept_names(self) -> set[tuple[str, str]]:
        """The packages of the upstream whose documentation is kept."""
        if not self._upstream:
            return set()
        with self._store.view() as view:
            return {(PUBLIC, name) for name in kept.documented(view)}

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
            self._stale |= self._kept_names()
            self._stale |= set(known)
            async for rows in turns.rows(self._store, Release):
                self._stale |= {(row.repository, row.package) for row in rows if row.has_docs}
        while self._stale:
            repository, package = self._stale.pop()
            found = self._newest(repository, package)
            if found is None:
                if (repository, package) in known:
                    await self._run(
                        lambda index, r=repository, p=package: index.remove(r, p)  # type: ignore[misc]
                    )
            elif known.get((repository, package)) != found.checksum.hex():
                await self._put(found)

    def _newest(self, repository: str, package: str) -> _Source | None:
        """The documentation that is searched for a package: ours, else the newest that is kept."""
        with self._store.view() as view:
            release = docs.latest_with_docs(view, repository, package)
            if release is not None and release.docs_checksum is not None:
                return _Source(repository, package, release.version, release.docs_checksum)
            if not self._upstream or repository != PUBLIC or upstream_names.withheld(view, package):
                return None
            newest = kept.newest_docs(view, package)
        if newest is None:
            return None
        version, row = newest
        return _Source(repository, package, version, row.checksum, ours=False)

    async def _put(self, source: _Source) -> None:
        try:
            pack = await self._unpacked.get("docs", source.checksum)
        except (HubError, TimeoutError) as error:
            structlog.get_logger().warning(
                "docs not indexed", package=source.package, error=str(error)
            )
            return

        def put(index: Index) -> None:
            if not source.ours and index.size() >= KEPT_ITEMS_MAX:
                structlog.get_logger().warning(
                    "docs not indexed", package=source.package, error="the index is full"
                )
                return
            found = sources.items(pack)
            checksum = source.checksum.hex()
            index.put(source.repository, source.package, source.version, checksum, found)

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
