"""Every package of the hub as lists show it, in memory: found, sorted and counted.

Derived from the tables and kept true by their changes: a changed package is read anew, and moved in
the orders that were asked for, before the next question is answered.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from cluster import Change
from hexhub.domain import downloads, packages
from hexhub.per_package import Name, PerPackage
from hexhub.schema import PUBLIC, Downloads, Package, Release
from hexhub.search import query as language
from hexhub.search.orders import Order, Recent, sort_key
from hexhub.search.query import Query
from hexhub.search.words import Words

if TYPE_CHECKING:
    from cluster import Store, View

SORTS = ("name", "recent_downloads", "total_downloads", "inserted_at", "updated_at")
PUBLISHED_MAX = 5

EVERYTHING = Query()

REMEMBERED_MAX = 64
"""Answers kept until a package changes."""

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
        self._packages: PerPackage[Listed] = PerPackage(store, self._make, changed=self._moved)
        self._day: date | None = None
        self._counted: set[Name] = set()
        """Packages that were downloaded today, which counts from tomorrow on."""
        self._words = Words()
        self._orders: dict[str, Order[Listed]] = {}
        self._recent: Recent[Published] | None = None
        self._found: dict[Asked, list[Listed]] = {}
        self._totals: dict[str, tuple[int, int, int]] = {}
        store.subscribe(self._changed)

    def _changed(self, change: Change) -> None:
        if change.keys is None:
            self._packages.forget()
            return
        today = self._day.isoformat() if self._day else ""
        for record, key in change.keys:
            if record is Downloads and key[3] >= today:
                self._counted.add((key[0], key[1]))
            elif record in (Package, Release, Downloads):
                self._packages.stale((key[0], key[1]))

    async def ready(self, today: date) -> None:
        """Read what changed; the first time everything, and once a day what has downloads."""
        if self._day != today:
            self._day = today
            counted = {key for key, each in self.listed.items() if each.total_downloads}
            for key in counted | self._counted:
                self._packages.stale(key)
            self._counted.clear()
        await self._packages.fresh()

    @property
    def listed(self) -> dict[Name, Listed]:
        return self._packages.values

    def _make(self, view: View, package: Package) -> Listed:
        assert self._day is not None
        return _listed(view, package, self._day)

    def _moved(self, key: Name, before: Listed | None, after: Listed | None) -> None:
        self._found.clear()
        self._words.move(key, before.words if before else None, after.words if after else None)
        for order in self._orders.values():
            order.move(before, after)
        if self._recent is not None:
            self._recent.move(before.published if before else (), after.published if after else ())
        counts = self._totals.get(key[0], (0, 0, 0))
        for each, sign in ((before, -1), (after, 1)):
            if each is not None:
                packages_, releases, all_ = counts
                counts = (
                    packages_ + sign,
                    releases + sign * each.releases,
                    all_ + sign * each.total_downloads,
                )
        self._totals[key[0]] = counts

    async def find(
        self, repositories: Iterable[str], query: Query, sort: str, today: date
    ) -> Sequence[Listed]:
        """Packages of these repositories that match, best or first by `sort` first."""
        await self.ready(today)
        wanted = frozenset(repositories)
        asked = (wanted, query, sort)
        found = self._found.get(asked)
        if found is None:
            found = self._find(wanted, query, sort)
            while len(self._found) >= REMEMBERED_MAX:
                del self._found[next(iter(self._found))]
            self._found[asked] = found
        return found

    def _find(self, wanted: frozenset[str], query: Query, sort: str) -> list[Listed]:
        if query == EVERYTHING:
            return [each for each in self._in_order(sort) if each.repository in wanted]
        order = "updated_after" if query.updated_after is not None else sort
        by = "name" if order == "relevance" else order
        if query.text:
            keys = (key for key in self._words.matching(query.text) if key[0] in wanted)
            listed = sorted((self.listed[key] for key in keys), key=sort_key(by))
        else:
            listed = [each for each in self._in_order(by) if each.repository in wanted]
        found = _matching(listed, query)
        if order == "relevance":
            found.sort(key=lambda each: _rank(each, query.text))
        return found

    def _in_order(self, sort: str) -> list[Listed]:
        if sort not in self._orders:
            self._orders[sort] = Order(self.listed.values(), sort_key(sort))
        return self._orders[sort].values

    async def recent(self, repositories: Iterable[str], count: int, today: date) -> list[Published]:
        """The newest publishes in these repositories."""
        await self.ready(today)
        if self._recent is None or self._recent.exhausted:
            all_of = (each for listed in self.listed.values() for each in listed.published)
            self._recent = Recent(all_of, lambda each: each.at)
        wanted = frozenset(repositories)
        shown = [each for each in self._recent.values if each.repository in wanted]
        if len(shown) < count and not self._recent.complete:
            own = (
                each
                for listed in self.listed.values()
                if listed.repository in wanted
                for each in listed.published
            )
            shown = heapq.nlargest(count, own, key=lambda each: each.at)
        return shown[:count]

    def get(self, repository: str, name: str) -> Listed | None:
        """A package as it was last read; call after `ready`, `find` or `recent`."""
        return self.listed.get((repository, name))

    def totals(self, repositories: Iterable[str]) -> tuple[int, int, int]:
        """How many packages, releases and downloads there are in these repositories."""
        each = [self._totals.get(repository, (0, 0, 0)) for repository in set(repositories)]
        return sum(one[0] for one in each), sum(one[1] for one in each), sum(one[2] for one in each)


def _listed(view: View, package: Package, today: date) -> Listed:
    releases = packages.releases(view, package)
    latest, stable = packages.latest(releases), packages.latest_stable(releases)
    counted = downloads.of_package(view, package.repository, package.name, today)
    newest = heapq.nlargest(PUBLISHED_MAX, releases, key=lambda release: release.created_at)
    # Texts that many packages have in common are kept once.
    intern = sys.intern
    return Listed(
        repository=intern(package.repository),
        name=intern(package.name),
        description=package.meta.description or "",
        words=frozenset(map(intern, language.stems(package.meta.description or ""))),
        licenses=tuple(map(intern, package.meta.licenses)),
        extra=package.meta.extra,
        created_at=package.created_at,
        updated_at=package.updated_at,
        latest=intern(latest.version) if latest else None,
        stable=intern(stable.version) if stable else None,
        retired=latest is not None and latest.retirement is not None,
        releases=len(releases),
        docs=any(release.has_docs for release in releases),
        build_tools=_interned({tool for release in releases for tool in release.build_tools}),
        requires=_interned({name for release in releases for name in release.required}),
        recent_downloads=counted.get("recent", 0),
        total_downloads=counted.get("all", 0),
        published=tuple(
            Published(
                intern(each.repository),
                intern(each.package),
                intern(each.version),
                intern(each.publisher) if each.publisher else None,
                each.created_at,
            )
            for each in newest
        ),
    )


def _interned(texts: set[str]) -> frozenset[str]:
    return frozenset(map(sys.intern, texts))


def _matching(listed: list[Listed], query: Query) -> list[Listed]:
    """Those that match all but the text, in the same order; each part leaves fewer to the next."""
    if query.name is not None:
        matches, name = language.pattern_matches, query.name
        listed = [each for each in listed if matches(each.repository, each.name, name)]
    if query.description is not None:
        words = language.stems(query.description)
        listed = [each for each in listed if not words.isdisjoint(each.words)]
    if query.build_tool is not None:
        listed = [each for each in listed if query.build_tool in each.build_tools]
    if query.updated_after is not None:
        listed = [each for each in listed if each.updated_at >= query.updated_after]
    if query.depends is not None:
        repository, _, name = query.depends.rpartition(":")
        required = f"{repository or PUBLIC}/{name}"
        listed = [each for each in listed if required in each.requires]
    for wanted in query.extra:
        listed = [each for each in listed if language.contains(each.extra, wanted)]
    return listed


def _rank(each: Listed, text: str) -> tuple[int, int, int]:
    """Exact names first, then beginnings, then the rest, popular ones before others."""
    name = each.name.lower()
    order = 0 if name == text else 1 if name.startswith(text) else 2 if text in name else 3
    return order, -each.recent_downloads, len(name)
