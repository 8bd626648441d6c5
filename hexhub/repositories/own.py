"""The registry of packages published here: derived from the tables, signed, memoized.

Every node makes the same bytes from the same rows (sorted input, deterministic signature, gzip
without a time). A resource is forgotten when a row that it came from changes, which happens before
the transaction that changed it returns. `names` and `versions` are joined from `chunks.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from cluster import Change
from hexhub.domain import policies, registry
from hexhub.errors import NotFound
from hexhub.formats import registry as wire
from hexhub.repositories import SignedResource
from hexhub.repositories.chunks import Chunks
from hexhub.schema import PUBLIC, Package, Policy, Release

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from cluster import Store

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
        self._chunks: dict[str, Chunks] = {}
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

    async def entries(self, repository: str, path: str) -> dict[str, bytes]:
        """The encoded part of each package in `names` or `versions`, as of when this returns."""
        chunks = self._chunks_of(repository)
        await chunks.fresh()
        return chunks.entries(path)

    async def warm(self) -> None:
        """Make the public lists before somebody asks for them."""
        for path in ("names", "versions"):
            await self._whole(PUBLIC, path)

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
        chunks = self._chunks_of(repository)
        await chunks.fresh()
        seen = self.state(repository)
        runs = chunks.runs(path)

        def build() -> SignedResource:
            return _tagged(chunks.seal(path, runs, self._key))

        if sum(len(joined) for _, joined in runs) <= OFF_LOOP_SIZE:
            signed = build()
        else:
            loop = asyncio.get_running_loop()
            signed = await loop.run_in_executor(self._executor, build)
        # A change that came while the thread worked may concern this very resource.
        if self.state(repository) == seen:
            self._memo[repository, path] = signed
        return signed

    def _chunks_of(self, repository: str) -> Chunks:
        if repository not in self._chunks:
            self._chunks[repository] = Chunks(self._store, repository)
        return self._chunks[repository]

    def _sign(self, payload: bytes) -> SignedResource:
        return _tagged(wire.seal(payload, self._key))

    def _changed(self, change: Change) -> None:
        if change.keys is None:
            self._memo.clear()
            for chunks in self._chunks.values():
                chunks.packages.forget()
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
        if repository in self._chunks:
            self._chunks[repository].packages.stale((repository, name))

    def close(self) -> None:
        self._executor.shutdown(wait=True)


def _tagged(body: bytes) -> SignedResource:
    return SignedResource(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
