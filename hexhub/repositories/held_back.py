"""Packages of an organization, without the releases that rules of its repository hold back.

Where no rule is set this is the registry as published. The rules of `hexpm` are about what comes
from the upstream, so public packages of ours never pass through here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from hexhub.domain import registry
from hexhub.errors import NotFound
from hexhub.formats import registry as wire
from hexhub.repositories import SignedResource, resigned
from hexhub.repositories.own import Own
from hexhub.repositories.rule_book import RuleBook
from hexhub.schema import PUBLIC, Package, Release

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from cluster import Store, View

MEMO_MAX = 2000


@dataclass(frozen=True, slots=True)
class _Made:
    source: tuple[object, ...]
    until: datetime | None
    """When time lifts a rule."""
    signed: SignedResource


class HeldBack:
    def __init__(self, own: Own, rules: RuleBook, store: Store, key: RSAPrivateKey) -> None:
        self.rules = rules
        self._own = own
        self._store = store
        self._key = key
        self._made: dict[tuple[str, str], _Made] = {}

    async def get(self, repository: str, path: str) -> SignedResource:
        """A resource of a repository as it may be seen. Raises NotFound, RefusedByRule."""
        ruled = repository != PUBLIC and bool(self.rules.of(repository).rules)
        if not ruled or path.startswith("policies/"):
            return await self._own.get(repository, path)
        source = (self._own.state(repository), self.rules.changes)
        made = self._made.get((repository, path))
        if made is None or made.source != source or (made.until and made.until <= self.rules.now()):
            made = self._make(repository, path, source)
            while len(self._made) >= MEMO_MAX:
                self._made.pop(next(iter(self._made)))
            self._made[repository, path] = made
        return made.signed

    def require_free(self, release: Release) -> None:
        """Raise RefusedByRule for a release of ours that a rule holds back."""
        if release.repository == PUBLIC:
            return
        rules = self.rules.of(release.repository)
        package = None
        if rules.needs_facts:
            with self._store.view() as view:
                package = registry.package(view, release.repository, release.package)
        self.rules.require_free(release.repository, release.package, release.version, package)

    def _make(self, repository: str, path: str, source: tuple[object, ...]) -> _Made:
        with self._store.view() as view:
            if path.startswith("packages/"):
                found = registry.package(view, repository, path.removeprefix("packages/"))
                if found is None:
                    raise NotFound
                left = resigned.filtered(found, self.rules.of(repository), self.rules.now())
                payload, until = wire.encode_package(left.package), left.until
            else:
                payload, until = self._list(view, repository, path)
        return _Made(source, until, resigned.sign(payload, self._key))

    def _list(self, view: View, repository: str, path: str) -> tuple[bytes, datetime | None]:
        """`names` or `versions`, and when the next release may be seen."""
        rules, now = self.rules.of(repository), self.rules.now()
        chunks: list[bytes] = []
        untils: list[datetime] = []
        for row in view.scan(Package, repository):
            found = registry.package(view, repository, row.name)
            if found is None:
                continue
            verdicts = {
                release.version: rules.judge(row.name, release.version, found, now)
                for release in found.releases
            }
            untils += [each.until for each in verdicts.values() if each.refused and each.until]
            free = [version for version, verdict in verdicts.items() if not verdict.refused]
            if free:
                chunks.append(_entry(view, row, path, set(free)))
        return wire.join(chunks, repository), min(untils, default=None)


def _entry(view: View, row: Package, path: str, free: set[str]) -> bytes:
    if path == "names":
        return wire.names_chunk(registry.names_entry(row))
    releases = [
        release
        for release in registry.ascending(view, row.repository, row.name)
        if release.version in free
    ]
    about = registry.relevant_advisories(view, row.repository, row.name, releases)
    return wire.versions_chunk(registry.versions_entry(row.name, releases, about))
