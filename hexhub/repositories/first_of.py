"""One shelf: our public packages first, then the upstream's, all signed by this hub as `hexpm`.

A name never has releases of both. Tarballs stay what they are, so lock files stay valid.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from hexhub.domain import upstream_names
from hexhub.errors import HubError
from hexhub.formats import registry as wire
from hexhub.repositories import SignedResource, resigned
from hexhub.repositories.mirror import Mirror
from hexhub.repositories.mirrored import Copy
from hexhub.repositories.own import Own
from hexhub.schema import PUBLIC

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from cluster import Store

MEMO_MAX = 5000


@dataclass(frozen=True, slots=True)
class Shelved:
    """A resource of the shelf; `copy` is what it was made from, None for our own alone."""

    signed: SignedResource
    copy: Copy | None


@dataclass(frozen=True, slots=True)
class _Made:
    source: tuple[object, ...]
    until: datetime | None
    signed: SignedResource


class Shelf:
    def __init__(self, own: Own, mirror: Mirror, store: Store, key: RSAPrivateKey) -> None:
        self._own = own
        self._mirror = mirror
        self._store = store
        self._key = key
        self._made: dict[str, _Made] = {}
        self._building: dict[tuple[str, tuple[object, ...]], asyncio.Task[SignedResource]] = {}

    async def package(self, name: str) -> Shelved:
        """A package of the upstream, signed by us. Raises NotFound, RefusedByRule."""
        copy, package = await self._mirror.package(name)
        path = f"packages/{name}"
        now = self._mirror.now()
        source = (copy.row.checksum, self._mirror.rule_book.changes)
        made = self._fresh(path, source, now)
        if made is None:
            made = self._keep(path, await self._resign(copy, package, source, now))
        return Shelved(made.signed, copy)

    async def _resign(
        self,
        copy: Copy,
        package: wire.RegistryPackage,
        source: tuple[object, ...],
        now: datetime,
    ) -> _Made:
        facts = self._mirror.rule_book.facts(PUBLIC, package)
        left = resigned.filtered(package, self._mirror.rules, now, facts)
        if left.complete:
            # The very bytes that the upstream signed: fields that we do not know stay too.
            payload = await self._mirror.believed.payload(copy.row)
        else:
            payload = wire.encode_package(left.package)
        return _Made(source, left.until, resigned.sign(payload, self._key))

    async def list(self, path: str) -> Shelved:
        """`names` or `versions`: ours and the upstream's. Ours alone while there is no other."""
        try:
            copy, entries = await self._mirror.entries(path)
        except HubError:
            return Shelved(await self._own.get(PUBLIC, path), None)
        source = (
            copy.row.checksum,
            self._mirror.rule_book.changes,
            self._mirror.names_changes,
            self._own.state(PUBLIC),
        )
        made = self._fresh(path, source, self._mirror.now())
        if made is None:
            made = await self._merged(path, entries, source)
        return Shelved(made.signed, copy)

    async def _merged(
        self, path: str, entries: dict[str, bytes], source: tuple[object, ...]
    ) -> _Made:
        """One build for all who ask at the same time."""
        task = self._building.get((path, source))
        if task is None:
            task = asyncio.get_running_loop().create_task(self._merge(path, entries))
            self._building[path, source] = task
            task.add_done_callback(lambda _: self._building.pop((path, source), None))
        return self._keep(path, _Made(source, None, await asyncio.shield(task)))

    async def _merge(self, path: str, entries: dict[str, bytes]) -> SignedResource:
        ours = await self._own.entries(PUBLIC, path)
        with self._store.view() as view:
            hidden = upstream_names.withheld_among(view, entries, self._mirror.own_names)
        yields = self._mirror.preferred
        rules = self._mirror.rules
        kept = {name: entry for name, entry in ours.items() if name not in yields}

        def build() -> SignedResource:
            merged = dict(entries)
            for name in hidden:
                merged.pop(name, None)
            if rules.rules:
                merged = rules.thin(path, merged)
            merged |= kept
            payload = wire.join((merged[name] for name in sorted(merged)), PUBLIC)
            return resigned.sign(payload, self._key)

        return await self._mirror.believed.on_thread(build)

    def _fresh(self, path: str, source: tuple[object, ...], now: datetime) -> _Made | None:
        made = self._made.get(path)
        if made is None or made.source != source or (made.until and made.until <= now):
            return None
        return made

    def _keep(self, path: str, made: _Made) -> _Made:
        while len(self._made) >= MEMO_MAX:
            self._made.pop(next(iter(self._made)))
        self._made[path] = made
        return made
