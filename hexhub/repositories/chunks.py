"""`names` and `versions` of a repository as the encoded part of each package, joined in runs.

A run is some hundred packages, joined and compressed once: a publish makes one package and its run
anew, not the registry. Where a run begins follows from the names alone, and what it may refer to is
what lies before it, so that every node makes the same bytes.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hexhub.domain import registry
from hexhub.formats import envelope, registry as wire
from hexhub.per_package import Name, PerPackage
from hexhub.schema import Package

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from cluster import Store, View

RUN = 256
"""Packages in a run, about."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one package is in each list."""

    names: bytes
    versions: bytes

    def of(self, path: str) -> bytes:
        return self.names if path == "names" else self.versions


@dataclass(frozen=True, slots=True)
class _Run:
    joined: bytes
    before: bytes
    compressed: bytes


class Chunks:
    """The chunks of one repository."""

    def __init__(self, store: Store, repository: str) -> None:
        self._repository = repository
        self.packages = PerPackage(store, _chunk, repository, changed=self._changed)
        self._names: list[str] = []
        self._starts = [""]
        self._joined: dict[tuple[str, str], bytes] = {}
        self._compressed: dict[tuple[str, str], _Run] = {}

    async def fresh(self) -> None:
        """Return once every chunk is that of now."""
        await self.packages.fresh()

    def entries(self, path: str) -> dict[str, bytes]:
        """The encoded part of each package; call after `fresh`."""
        return {key[1]: chunk.of(path) for key, chunk in self.packages.values.items()}

    def runs(self, path: str) -> list[tuple[str, bytes]]:
        """Where each run begins, and its bytes in order; call after `fresh`."""
        return [(start, self._run(path, at)) for at, start in enumerate(self._starts)]

    def _run(self, path: str, at: int) -> bytes:
        start = self._starts[at]
        joined = self._joined.get((path, start))
        if joined is None:
            first = bisect_left(self._names, start)
            last = at + 1 == len(self._starts)
            stop = len(self._names) if last else bisect_left(self._names, self._starts[at + 1])
            values, repository = self.packages.values, self._repository
            joined = self._joined[path, start] = b"".join(
                values[repository, name].of(path) for name in self._names[first:stop]
            )
        return joined

    def _changed(self, key: Name, before: Chunk | None, after: Chunk | None) -> None:
        name = key[1]
        known = before is not None
        if known != (after is not None):
            if known:
                del self._names[bisect_left(self._names, name)]
            else:
                insort(self._names, name)
            if _begins_run(name):
                self._forget_run(name)
                if known:
                    self._starts.remove(name)
                else:
                    insort(self._starts, name)
                    self._forget_run(name)
        self._forget_run(name)

    def _forget_run(self, name: str) -> None:
        """Join the run that a name is in anew."""
        start = self._starts[bisect_right(self._starts, name) - 1]
        for path in ("names", "versions"):
            self._joined.pop((path, start), None)

    def seal(self, path: str, runs: list[tuple[str, bytes]], key: RSAPrivateKey) -> bytes:
        """The signed resource of these runs. Takes long for a large registry, so it may be on a
        thread: it touches nothing but what is kept compressed.
        """
        parts: list[tuple[bytes, bytes]] = []
        kept: dict[tuple[str, str], _Run] = {}
        before = b""
        for start, joined in runs:
            run = self._compressed.get((path, start))
            if run is None or run.joined != joined or run.before != before:
                run = _Run(joined, before, wire.deflated(joined, before))
            kept[path, start] = run
            parts.append((joined, run.compressed))
            before = (before + joined)[-envelope.WINDOW :]
        others = {where: run for where, run in self._compressed.items() if where[0] != path}
        self._compressed = others | kept
        return wire.seal_parts(parts, wire.repository_part(self._repository), key)


def _begins_run(name: str) -> bool:
    return zlib.crc32(name.encode()) % RUN == 0


def _chunk(view: View, package: Package) -> Chunk:
    repository, name = package.repository, package.name
    releases = registry.ascending(view, repository, name)
    about = registry.relevant_advisories(view, repository, name, releases)
    return Chunk(
        wire.names_chunk(registry.names_entry(package)),
        wire.versions_chunk(registry.versions_entry(name, releases, about)),
    )
