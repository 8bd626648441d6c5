"""Every package of the hub as lists show it, in memory: found, sorted and counted in one pass.

Derived from the tables and kept true by their changes: a changed package is read anew before the
next question is answered.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from cluster import Change
from hexhub.domain import downloads, packages
from hexhub.schema import PUBLIC, Downloads, Package, Release
from hexhub.search import query as language
from hexhub.search.query import Query

if TYPE_CHECKING:
    from cluster import Store, View

SLICE = 100
"""Packages read before others get their turn on the loop."""
RECENT_MAX = 200
SORTS = ("name", "recent_downloads", "total_downloads", "inserted_at", "updated_at")

REMEMBERED_MAX = 64
"""Answers kept until a package changes."""

Name = tuple[str, str]
Asked = tuple[frozenset[str], Query, str]


@dataclass(frozen=True, slots=True)
class Published:
    """One publish: who, what and when."""

    repository: str
    package: str
    version: str
    publisher: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Listed:
    """A package as lists show it. `requires` holds `repository/package` of any release."""

    repository: str
    name: str
    description: str
    words: frozenset[str]
    licenses: tuple[str, ...]
    extra: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    latest: str | None
    stable: str | None
    retired: bool
    releases: int
    docs: bool
    build_tools: frozenset[str]
    requires: frozenset[str]
    recent_downloads: int
    total_downloads: int
    published: tuple[Published, ...]

    @property
    def key(self) -> Name:
        return self.repository, self.name


class Catalogue:
    """The packages, those that changed since they were read, and publishes by time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._listed: dict[Name, Listed] = {}
        self._stale: set[Name] = set()
        self._whole = False
        self._day: date | None = None
        self._turn = asyncio.Lock()
        self._recent: list[Published] | None = None
        self._found: dict[Asked, list[Listed]] = {}
        self._totals: dict[frozenset[str], tuple[int, int, int]] = {}
        store.subscribe(self._changed)

    def _changed(self, change: Change) -> None:
        if change.keys is None:
            self._whole = False
            return
        for record, key in change.keys:
            if record in (Package, Release, Downloads):
                self._stale.add((key[0], key[1]))

    async def ready(self, today: date) -> None:
        """Read what changed; the first time and once a day everything, in slices."""
        async with self._turn:
            if not self._whole or self._day != today:
                with self._store.view() as view:
                    self._stale = {(each.repository, each.name) for each in view.scan(Package)}
                self._listed = {
                    key: listed for key, listed in self._listed.items() if key in self._stale
                }
                self._whole, self._day = True, today
            while self._stale:
                batch = [self._stale.pop() for _ in range(min(SLICE, len(self._stale)))]
                self._recent = None
                self._found.clear()
                self._totals.clear()
                with self._store.view() as view:
                    for key in batch:
                        self._read(view, key, today)
                if self._stale:
                    await asyncio.sleep(0)

    def _read(self, view: View, key: Name, today: date) -> None:
        package = view.get(Package, *key)
        if package is None:
            self._listed.pop(key, None)
        else:
            self._listed[key] = _listed(view, package, today)

    async def find(
        self, repositories: Iterable[str], query: Query, sort: str, today: date
    ) -> list[Listed]:
        """Packages of these repositories that match, best or first by `sort` first."""
        await self.ready(today)
        wanted = frozenset(repositories)
        asked = (wanted, query, sort)
        if asked in self._found:
            return self._found[asked].copy()
        words = language.stems(query.description or "")
        text_words = language.stems(query.text)
        found = [
            each
            for each in self._listed.values()
            if each.repository in wanted and _matches(each, query, words, text_words)
        ]
        while len(self._found) >= REMEMBERED_MAX:
            del self._found[next(iter(self._found))]
        self._found[asked] = _sorted(found, query, sort)
        return self._found[asked].copy()

    async def recent(self, repositories: Iterable[str], count: int, today: date) -> list[Published]:
        """The newest publishes in these repositories."""
        await self.ready(today)
        if self._recent is None:
            all_of = (each for listed in self._listed.values() for each in listed.published)
            self._recent = heapq.nlargest(RECENT_MAX, all_of, key=lambda each: each.at)
        wanted = frozenset(repositories)
        shown = [each for each in self._recent if each.repository in wanted]
        if len(shown) < count and len(self._recent) == RECENT_MAX:
            own = (
                each
                for listed in self._listed.values()
                if listed.repository in wanted
                for each in listed.published
            )
            shown = heapq.nlargest(count, own, key=lambda each: each.at)
        return shown[:count]

    def get(self, repository: str, name: str) -> Listed | None:
        """A package as it was last read; call after `ready`, `find` or `recent`."""
        return self._listed.get((repository, name))

    def totals(self, repositories: Iterable[str]) -> tuple[int, int, int]:
        """How many packages, releases and downloads there are in these repositories."""
        wanted = frozenset(repositories)
        if wanted not in self._totals:
            mine = [each for each in self._listed.values() if each.repository in wanted]
            self._totals[wanted] = (
                len(mine),
                sum(each.releases for each in mine),
                sum(each.total_downloads for each in mine),
            )
        return self._totals[wanted]


def _listed(view: View, package: Package, today: date) -> Listed:
    releases = packages.releases(view, package)
    latest, stable = packages.latest(releases), packages.latest_stable(releases)
    counted = downloads.of_package(view, package.repository, package.name, today)
    newest = heapq.nlargest(5, releases, key=lambda release: release.created_at)
    return Listed(
        repository=package.repository,
        name=package.name,
        description=package.meta.description or "",
        words=language.stems(package.meta.description or ""),
        licenses=package.meta.licenses,
        extra=package.meta.extra,
        created_at=package.created_at,
        updated_at=package.updated_at,
        latest=latest.version if latest else None,
        stable=stable.version if stable else None,
        retired=latest is not None and latest.retirement is not None,
        releases=len(releases),
        docs=any(release.has_docs for release in releases),
        build_tools=frozenset(tool for release in releases for tool in release.build_tools),
        requires=frozenset(name for release in releases for name in release.required),
        recent_downloads=counted.get("recent", 0),
        total_downloads=counted.get("all", 0),
        published=tuple(
            Published(each.repository, each.package, each.version, each.publisher, each.created_at)
            for each in newest
        ),
    )


def _matches(each: Listed, query: Query, words: frozenset[str], text_words: frozenset[str]) -> bool:
    if query.text and not _text_matches(each, query.text, text_words):
        return False
    if query.name is not None and not language.pattern_matches(
        each.repository, each.name, query.name
    ):
        return False
    if query.description is not None and not words & each.words:
        return False
    if query.build_tool is not None and query.build_tool not in each.build_tools:
        return False
    if query.updated_after is not None and each.updated_at < query.updated_after:
        return False
    if query.depends is not None:
        repository, _, name = query.depends.rpartition(":")
        if f"{repository or PUBLIC}/{name}" not in each.requires:
            return False
    return all(language.contains(each.extra, wanted) for wanted in query.extra)


def _text_matches(each: Listed, text: str, words: frozenset[str]) -> bool:
    repository, slash, name = text.partition("/")
    if slash and each.repository == repository and language.name_matches(each.name.lower(), name):
        return True
    return language.name_matches(each.name.lower(), text) or bool(words & each.words)


def _sorted(found: list[Listed], query: Query, sort: str) -> list[Listed]:
    found.sort(key=lambda each: (each.name, each.repository != PUBLIC, each.repository))
    if query.updated_after is not None:
        found.sort(key=lambda each: each.updated_at)
    elif sort == "relevance":
        found.sort(key=lambda each: _rank(each, query.text))
    elif sort in ("recent_downloads", "total_downloads"):
        found.sort(key=lambda each: int(getattr(each, sort)), reverse=True)
    elif sort == "inserted_at":
        found.sort(key=lambda each: each.created_at, reverse=True)
    elif sort == "updated_at":
        found.sort(key=lambda each: each.updated_at, reverse=True)
    return found


def _rank(each: Listed, text: str) -> tuple[int, int, int]:
    """Exact names first, then beginnings, then the rest, popular ones before others."""
    name = each.name.lower()
    order = 0 if name == text else 1 if name.startswith(text) else 2 if text in name else 3
    return order, -each.recent_downloads, len(name)
