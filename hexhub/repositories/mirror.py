"""The mirror of the upstream: what is asked, what is believed, what may pass.

Every file of the upstream that leaves this hub comes out of here: names are withheld, rules applied
and bytes verified at this one point, whether a copy was kept or not, for both faces of the mirror.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Iterable, Set
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import msgspec
import structlog

from cluster import Change, ClusterError, Record
from hexhub.domain import kept, upstream_names
from hexhub.domain.mirror_rules import RuleSet
from hexhub.errors import HubError, NotFound, UpstreamWrong
from hexhub.formats import registry as wire, resource_path
from hexhub.repositories import installs
from hexhub.repositories.believed import DOCUMENT_SIZE_MAX, Believed, checksum_of
from hexhub.repositories.copies import Copies
from hexhub.repositories.mirrored import Copy, Kind, Mirrored
from hexhub.repositories.rule_book import RuleBook
from hexhub.repositories.together import Vouched
from hexhub.repositories.upstream import Fetched, Upstream
from hexhub.schema import PUBLIC, AllowedName, Kept, Package, ReservedName

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from cluster import Store
    from hexhub.storage import Storage
    from hexhub.storage.memory import SmallBlobs

T = TypeVar("T")

UPKEEP_EVERY_S = 60.0
ROWS_AT_ONCE = 200
SEARCHES_MAX = 200
SEARCH_FRESH = timedelta(seconds=60)
NAMES: tuple[type[Record], ...] = (Package, ReservedName, AllowedName)
"""What decides which names are withheld."""
PACKAGE_NAME = re.compile(rf"[A-Za-z][A-Za-z0-9_]{{0,{resource_path.NAME_MAX - 1}}}")
"""Names that packages have; capitals were allowed once (tarball.md §8)."""
MISSING_AGAIN = timedelta(seconds=5)
"""A release that a kept registry lacks makes us look again, at most this often."""


class Mirror:
    def __init__(
        self,
        upstream: Upstream,
        store: Store,
        storage: Storage,
        small: SmallBlobs,
        public_key: RSAPublicKey,
        now: Callable[[], datetime],
        *,
        rule_book: RuleBook,
        quota: int = 0,
    ) -> None:
        """`quota`: bytes of kept tarballs and docs; 0 for no bound."""
        self.upstream = upstream
        self.copies = Copies(store)
        self.mirrored = Mirrored(upstream, self.copies, storage, small, now)
        self.believed = Believed(self.copies, self.mirrored, storage, small, public_key)
        self.now = now
        self.rule_book = rule_book
        self.quota = quota
        self._store = store
        self._searches: dict[str, tuple[datetime, list[dict[str, object]]]] = {}
        self._own_names: set[str] | None = None
        self._preferred: tuple[int, frozenset[str]] | None = None
        self.names_changes = 0
        """How often the names that may be withheld have changed."""
        store.subscribe(self._changed)

    @property
    def rules(self) -> RuleSet:
        """The rules about what comes from the upstream."""
        return self.rule_book.of(PUBLIC)

    def _changed(self, change: Change) -> None:
        records = {record for record, _ in change.keys} if change.keys is not None else set(NAMES)
        if not records.isdisjoint(NAMES):
            self.names_changes += 1
            self._follow_names(change)

    def _follow_names(self, change: Change) -> None:
        if change.keys is None:
            self._own_names = None
        if self._own_names is None or change.keys is None:
            return
        with self._store.view() as view:
            for record, key in change.keys:
                if record is Package:
                    there = next(view.find(Package, "name", key[1]), None) is not None
                    (self._own_names.add if there else self._own_names.discard)(key[1])

    @property
    def own_names(self) -> Set[str]:
        """Every name that is published here, in any repository."""
        if self._own_names is None:
            with self._store.view() as view:
                self._own_names = {package.name for package in view.scan(Package)}
        return self._own_names

    # What may be asked, and what may pass

    def require_askable(self, name: str) -> None:
        """Raise the NotFound of an unknown name for one that must not be asked (design §7).

        Nor is one that no package can have, which would only be noise at the upstream.
        """
        if not PACKAGE_NAME.fullmatch(name):
            raise NotFound
        with self._store.view() as view:
            if upstream_names.withheld(view, name):
                raise NotFound

    def require_free(self, name: str, version: str, package: wire.RegistryPackage | None) -> None:
        """Raise RefusedByRule for a release of the upstream that a rule holds back."""
        self.rule_book.require_free(PUBLIC, name, version, package)

    @property
    def preferred(self) -> frozenset[str]:
        """Names whose package the upstream has for the public addresses, though we have one."""
        if self._preferred is None or self._preferred[0] != self.names_changes:
            with self._store.view() as view:
                self._preferred = (self.names_changes, upstream_names.preferred(view))
        return self._preferred[1]

    # The registry

    async def listing(self, path: str) -> Copy:
        """`names` or `versions` as the upstream signed it."""
        return await self.mirrored.get(path, self.believed.listing)

    async def entries(self, path: str) -> tuple[Copy, dict[str, bytes]]:
        """`names` or `versions` and its encoded entries by package."""
        copy = await self.listing(path)
        return copy, await self.believed.list_of(copy.row)

    async def package(
        self, name: str, *, newer_than: datetime | None = None
    ) -> tuple[Copy, wire.RegistryPackage]:
        """A package as the upstream signed it, and what that says."""
        self.require_askable(name)
        path = f"packages/{name}"
        copy = await self.mirrored.get(path, self.believed.package, newer_than=newer_than)
        try:
            return copy, await self.believed.package_of(copy.row)
        except HubError:
            # The bytes were lost or damaged here: they are to be had where they came from.
            self.mirrored.forget(path)
            copy = await self.mirrored.get(path, self.believed.package)
            return copy, await self.believed.package_of(copy.row)

    async def tarball(self, name: str, version: str) -> Copy:
        """A tarball that is the one of the signed registry and that no rule holds back."""
        self.require_askable(name)
        path = f"tarballs/{name}-{version}.tar"
        package = None
        if self.copies.get(path) is None or self.rules.needs_facts:
            package = await self._package_with(name, version)
        self.require_free(name, version, package)
        try:
            return await self.mirrored.get(path, self.believed.tarball)
        except UpstreamWrong:
            # Perhaps the release was replaced and our registry is the old half (mirror.md §2.4).
            before = checksum_of(package, version)
            _, package = await self.package(name, newer_than=self.now())
            if checksum_of(package, version) == before:
                raise
        self.mirrored.forgive(path)
        return await self.mirrored.get(path, self.believed.tarball)

    async def _package_with(self, name: str, version: str) -> wire.RegistryPackage:
        """The package, looked up anew when it does not have this release yet. Raises NotFound."""
        package = (await self.package(name))[1]
        if not _has(package, version):
            again = self.now() - MISSING_AGAIN
            package = (await self.package(name, newer_than=again))[1]
        # What is gone from the registry but kept here is served on: lock files pin it.
        if not _has(package, version) and self.copies.get(f"tarballs/{name}-{version}.tar") is None:
            raise NotFound
        return package

    async def docs(self, name: str, version: str) -> Copy:
        """The docs archive of a release."""
        self.require_askable(name)
        return await self.mirrored.get(f"docs/{name}-{version}.tar.gz", self.believed.docs)

    async def document(self, name: str, path: str) -> Copy:
        """A JSON document of the upstream's API about a package; `path` is below its API's URL."""
        self.require_askable(name)
        return await self.mirrored.get(f"api/{path}", self.believed.document, at=path)

    async def install(self, file: str) -> Copy:
        """A file below `installs/`: a list of builds, its signature, or a build."""
        return await installs.get(self, file)

    def tells_a_name(self, text: str) -> bool:
        """Whether a search would tell the upstream a name that it must not be asked for."""
        words = re.findall("[a-z0-9_]+", text.lower())
        with self._store.view() as view:
            return any(upstream_names.withheld(view, word) for word in words)

    async def search(self, query: str) -> list[dict[str, object]]:
        """Packages that the upstream's API finds for a query string, without withheld names."""
        known = self._searches.get(query)
        if known is None or known[0] <= self.now():
            async with asyncio.timeout(self.upstream.settings.wait_s):
                known = (self.now() + SEARCH_FRESH, await self._search(query))
            while len(self._searches) >= SEARCHES_MAX:
                self._searches.pop(next(iter(self._searches)))
            self._searches[query] = known
        names = [str(package.get("name")) for package in known[1]]
        with self._store.view() as view:
            hidden = upstream_names.withheld_among(view, names, self.own_names)
        return [each for each in known[1] if str(each.get("name")) not in hidden]

    async def _search(self, query: str) -> list[dict[str, object]]:

        async def take(fetched: Fetched) -> list[dict[str, object]]:
            body = await self.believed.on_thread(fetched.read)
            try:
                return msgspec.json.decode(body, type=list[dict[str, object]])
            except (msgspec.DecodeError, RecursionError):
                raise UpstreamWrong("the upstream's search is no list of packages") from None

        found = await self.upstream.fetch(
            "api",
            f"packages?{query}",
            take,
            size_max=DOCUMENT_SIZE_MAX,
            accept="application/json",
        )
        return [package for package in found or () if isinstance(package.get("name"), str)]

    async def knows(self, name: str) -> bool:
        """Whether a name is in the upstream's list, which is looked at instead of asking for it.

        True when there is no list, not even a kept one. An old list has the last word only where
        nobody will ever be asked: a name that it lacks may be new, and missing is no word for that.
        """
        self.require_askable(name)
        try:
            copy, entries = await self.entries("names")
            return name in entries or (copy.failed and not self.upstream.settings.offline)
        except (NotFound, UpstreamWrong):
            return True

    async def kind_of(self, path: str) -> Kind:
        """How a path of the mirror is checked and kept. Raises NotFound for one that is none."""
        if path.startswith("installs/"):
            return await installs.kind(self, path.removeprefix("installs/"))
        resource = resource_path.parse(path)
        if resource is None:
            raise NotFound(f"{path} is no path of a repository")
        kinds = {
            "names": self.believed.listing,
            "versions": self.believed.listing,
            "packages": self.believed.package,
            "tarballs": self.believed.tarball,
            "docs": self.believed.docs,
        }
        if resource.kind not in kinds:
            raise NotFound(f"{path} is not mirrored")
        if resource.name:
            self.require_askable(resource.name)
        return kinds[resource.kind]

    async def vouch(self, path: str, newer_than: datetime | None) -> Vouched:
        """Get a file for another member of the cluster."""
        kind = await self.kind_of(path)
        if kind is self.believed.tarball:
            name, _, rest = path.removeprefix("tarballs/").partition("-")
            await self._package_with(name, rest.removesuffix(".tar"))
        return await self.mirrored.vouch(path, kind, newer_than)

    # The guard

    async def clash(self, name: str) -> str:
        """`exists`, `none` or `unchecked`: whether the upstream has a name. Never asks for it."""
        try:
            async with asyncio.timeout(self.upstream.settings.wait_s):
                _, entries = await self.entries("names")
        except (TimeoutError, HubError):
            return "unchecked"
        return "exists" if name in entries else "none"

    async def lacks(self, names: set[str]) -> frozenset[str]:
        """Those of some names that the upstream does not have; none when nobody can say."""
        if not names:
            return frozenset()
        try:
            async with asyncio.timeout(self.upstream.settings.wait_s):
                _, entries = await self.entries("names")
        except (TimeoutError, HubError):
            return frozenset()
        with self._store.view() as view:
            hidden = upstream_names.withheld_among(view, names, self.own_names)
        return frozenset(name for name in names if name not in entries or name in hidden)

    async def check_names(self) -> None:
        """Compare every name of ours with the upstream's, and tell of new clashes."""
        if not self.own_names:
            return
        try:
            _, entries = await self.entries("names")
        except HubError:
            return
        with self._store.view() as view:
            mine = upstream_names.unchecked(view)
            for name in entries.keys() & self.own_names:
                mine += [each for each in view.find(Package, "name", name) if each.clash == "none"]
        for package in mine:
            clash = "exists" if package.name in entries else "none"
            await self._store.transact(upstream_names.note, package.repository, package.name, clash)
            if clash == "exists":
                structlog.get_logger().warning(
                    "a name of ours exists at the upstream",
                    repository=package.repository,
                    package=package.name,
                )

    # Upkeep

    async def over_quota(self, quota: int) -> list[Kept]:
        """The copies to evict so that the rest fit, the longest unused first."""
        copies = []
        for number, row in enumerate(self.copies.all()):
            copies.append((row, self.copies.last_used(row)))
            if number % ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)  # others have a turn
        return kept.to_evict(copies, quota)

    def evict(self, rows: Iterable[Kept]) -> None:
        """Forget copies. Their bytes go with the next sweep of the storage."""
        for row in rows:
            self.mirrored.forget(row.path)

    async def run(self) -> None:
        """Look after names and quota for ever."""
        while True:
            await asyncio.sleep(UPKEEP_EVERY_S * random.uniform(0.8, 1.2))
            try:
                await self.check_names()
            except ClusterError as error:
                structlog.get_logger().warning("names are not noted", error=str(error))
            if self.quota:
                self.evict(await self.over_quota(self.quota))

    async def close(self) -> None:
        await self.mirrored.close()
        await self.copies.close()
        await self.upstream.close()
        self.believed.close()


def _has(package: wire.RegistryPackage, version: str) -> bool:
    return any(release.version == version for release in package.releases)
