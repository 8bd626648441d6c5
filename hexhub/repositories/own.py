"""The registry of packages published here: derived from the tables, signed, memoized.

Every node makes the same bytes from the same rows (sorted input, deterministic signature, gzip
without a time). A resource is forgotten when a row that it came from changes, which happens before
the transaction that changed it returns. `names` and `versions` are joined from a chunk for each
package, so a publish encodes one package anew and not the registry.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from cluster import Change
from hexhub.domain import policies, registry
from hexhub.errors import NotFound
from hexhub.formats import registry as wire
from hexhub.repositories import SignedResource
from hexhub.schema import Package, Policy, Release

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from cluster import Store, View

OFF_LOOP_SIZE = 32_768
"""Payloads above this many bytes are signed and compressed on a thread."""

MEMO_MAX = 20_000
"""Package resources kept; at a kilobyte or two each."""


class Own:
    def __init__(self, store: Store, key: RSAPrivateKey) -> None:
        self._store = store
        self._key = key
        self._executor = ThreadPoolExecutor(1, "registry")
        self._memo: dict[tuple[str, str], SignedResource] = {}
        self._names: dict[str, _Chunks] = {}
        self._versions: dict[str, _Chunks] = {}
        self._changes: dict[str, int] = {}
        self._restores = 0
        self._building: dict[tuple[str, str], asyncio.Task[SignedResource]] = {}
        store.subscribe(self._changed)

    async def get(self, repository: str, path: str) -> SignedResource:
        """`names`, `versions`, `packages/NAME` or `policies/NAME` of a repository. Raises NotFound.

        That the repository exists and may be read is the caller's to know.
        """
        memo = self._memo.get((repository, path))
        if memo is not None:
            return memo
        kind, _, name = path.partition("/")
        if kind == "packages":
            return self._package(repository, name)
        if kind == "policies":
            return self._policy(repository, name)
        return await self._whole(repository, path)

    def entries(self, repository: str, path: str) -> Mapping[str, bytes]:
        """The encoded part of each package in `names` or `versions`; not to be kept or changed."""
        return self._chunks(repository, path).by_name

    def state(self, repository: str) -> tuple[int, int]:
        """What differs after any change that concerns a repository."""
        return self._restores, self._changes.get(repository, 0)

    def _package(self, repository: str, name: str) -> SignedResource:
        with self._store.view() as view:
            package = registry.package(view, repository, name)
        if package is None:
            raise NotFound
        signed = self._sign(wire.encode_package(package))
        while len(self._memo) >= MEMO_MAX:
            self._memo.pop(next(iter(self._memo)))
        self._memo[repository, f"packages/{name}"] = signed
        return signed

    def _policy(self, repository: str, name: str) -> SignedResource:
        with self._store.view() as view:
            policy = policies.find(view, repository, name)
        signed = self._sign(wire.encode_policy(policies.resource(policy)))
        self._memo[repository, f"policies/{name}"] = signed
        return signed

    async def _whole(self, repository: str, path: str) -> SignedResource:
        """`names` or `versions`; callers who ask at the same time share one build."""
        task = self._building.get((repository, path))
        if task is None or task.done():
            task = asyncio.get_running_loop().create_task(self._build(repository, path))
            self._building[repository, path] = task
        return await asyncio.shield(task)

    async def _build(self, repository: str, path: str) -> SignedResource:
        seen = self.state(repository)
        chunks = self._chunks(repository, path)
        payload = wire.join(chunks.sorted(), repository)
        if len(payload) <= OFF_LOOP_SIZE:
            signed = self._sign(payload)
        else:
            loop = asyncio.get_running_loop()
            signed = await loop.run_in_executor(self._executor, self._sign, payload)
        # A change that came while the thread worked may concern this very resource.
        if self.state(repository) == seen:
            self._memo[repository, path] = signed
        return signed

    def _chunks(self, repository: str, path: str) -> _Chunks:
        of = self._names if path == "names" else self._versions
        chunks = of.get(repository)
        if chunks is not None and not chunks.stale:
            return chunks
        with self._store.view() as view:
            if chunks is None:
                chunks = of[repository] = _Chunks()
                chunks.stale = {package.name for package in view.scan(Package, repository)}
            for name in chunks.stale:
                chunks.put(name, _chunk(view, repository, name, path))
        chunks.stale = set()
        return chunks

    def _sign(self, payload: bytes) -> SignedResource:
        body = wire.seal(payload, self._key)
        return SignedResource(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')

    def _changed(self, change: Change) -> None:
        if change.keys is None:
            self._memo.clear()
            self._names.clear()
            self._versions.clear()
            self._building.clear()
            self._restores += 1
            return
        for record, key in change.keys:
            if record in (Package, Release):
                self._forget(key[0], key[1])
            elif record is Policy:
                self._memo.pop((key[0], f"policies/{key[1]}"), None)

    def _forget(self, repository: str, name: str) -> None:
        self._changes[repository] = self._changes.get(repository, 0) + 1
        for path in (f"packages/{name}", "names", "versions"):
            self._memo.pop((repository, path), None)
            self._building.pop((repository, path), None)
        for of in (self._names, self._versions):
            if repository in of:
                of[repository].stale.add(name)

    def close(self) -> None:
        self._executor.shutdown(wait=True)


class _Chunks:
    """The encoded part of each package in one resource, in order of name."""

    def __init__(self) -> None:
        self.stale: set[str] = set()
        self.by_name: dict[str, bytes] = {}
        self._in_order: list[bytes] | None = None

    def put(self, name: str, chunk: bytes | None) -> None:
        self._in_order = None
        if chunk is None:
            self.by_name.pop(name, None)
        else:
            self.by_name[name] = chunk

    def sorted(self) -> list[bytes]:
        if self._in_order is None:
            self._in_order = [self.by_name[name] for name in sorted(self.by_name)]
        return self._in_order


def _chunk(view: View, repository: str, name: str, path: str) -> bytes | None:
    package = view.get(Package, repository, name)
    if package is None:
        return None
    if path == "names":
        return wire.names_chunk(registry.names_entry(package))
    releases = registry.ascending(view, repository, name)
    about = registry.relevant_advisories(view, repository, name, releases)
    return wire.versions_chunk(registry.versions_entry(name, releases, about))
