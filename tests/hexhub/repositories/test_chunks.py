"""`names` and `versions` joined in runs: the bytes depend on the packages alone, not on their past."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import TracebackType
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from hexhub.formats import envelope, registry as wire, signing_key
from hexhub.repositories import chunks as module
from hexhub.repositories.chunks import Chunks
from hexhub.schema import PUBLIC, Advisory, Package, Release
from tests.hexhub.hubs import SIGNING_KEY
from tests.hexhub.registry import SIZE_MAX

KEY = signing_key.load_private_key(SIGNING_KEY.read_bytes())
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = [f"p{number}" for number in range(24)]

steps = st.lists(
    st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 3)), max_size=6),
    max_size=5,
)


class Tables:
    """Packages with a number of releases each; 0: there is none. Both a store and its view."""

    def __init__(self) -> None:
        self.releases: dict[str, int] = {}

    def view(self) -> Tables:
        return self

    def __enter__(self) -> Tables:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def get(self, record: object, repository: str, name: str) -> Package | None:
        count = self.releases.get(name)
        moment = MOMENT + timedelta(hours=count or 0)
        return (
            Package(repository=repository, name=name, created_at=MOMENT, updated_at=moment)
            if count
            else None
        )

    def find(self, record: type[Advisory], *args: str) -> list[Any]:
        return []

    def scan(self, record: type, repository: str, *prefix: str, after: Any = None) -> list[Any]:
        if record is Package:
            found = [self.get(Package, repository, name) for name in sorted(self.releases)]
            return [each for each in found if each and (not after or each.name > after[1])]
        return [
            Release(
                repository=repository,
                package=prefix[0],
                version=f"1.0.{number}",
                inner_checksum=bytes(32),
                outer_checksum=bytes(32),
                size=1,
                app="a",
                build_tools=("mix",),
                created_at=MOMENT,
                updated_at=MOMENT,
            )
            for number in range(self.releases[prefix[0]])
        ]


@pytest.fixture(autouse=True)
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RUN", 4)


def body(chunks: Chunks, path: str) -> bytes:
    return chunks.seal(path, chunks.runs(path), KEY)


@settings(deadline=None, max_examples=25)  # each signs some bodies
@given(steps=steps)
async def test_any_past_gives_the_same_bytes_and_they_hold_every_package(
    steps: list[list[tuple[str, int]]],
) -> None:
    tables = Tables()
    chunks = Chunks(tables, PUBLIC)  # type: ignore[arg-type]
    for step in steps:
        for name, count in step:
            tables.releases[name] = count
            chunks.packages.stale((PUBLIC, name))
        await chunks.fresh()
        fresh = Chunks(tables, PUBLIC)  # type: ignore[arg-type]
        await fresh.fresh()
        here = {name: count for name, count in tables.releases.items() if count}
        decode: dict[str, Callable[[bytes], Any]] = {
            "names": wire.decode_names,
            "versions": wire.decode_versions,
        }
        for path, read in decode.items():
            made = body(chunks, path)
            assert made == body(fresh, path)
            payload = wire.unseal(made, KEY.public_key(), size_max=SIZE_MAX)
            entries = chunks.entries(path)
            assert payload == wire.join((entries[name] for name in sorted(here)), PUBLIC)
            found = read(payload)
            assert [each.name for each in found.packages] == sorted(here)
            if path == "versions":
                assert {each.name: len(each.versions) for each in found.packages} == here


async def test_a_publish_compresses_the_runs_about_it_and_not_the_registry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables = Tables()
    tables.releases = {f"p{number:04d}": 3 for number in range(200)}
    monkeypatch.setattr(module, "RUN", 8)
    monkeypatch.setattr(envelope, "WINDOW", 64)
    chunks = Chunks(tables, PUBLIC)  # type: ignore[arg-type]
    await chunks.fresh()
    body(chunks, "versions")
    sizes: list[int] = []
    real = wire.deflated

    def deflated(part: bytes, before: bytes) -> bytes:
        sizes.append(len(part))
        return real(part, before)

    monkeypatch.setattr(wire, "deflated", deflated)
    tables.releases["p0100"] = 4
    chunks.packages.stale((PUBLIC, "p0100"))
    await chunks.fresh()
    assert chunks.seal("versions", chunks.runs("versions"), KEY)
    whole = sum(len(joined) for _, joined in chunks.runs("versions"))
    assert 0 < sum(sizes) < whole / 2


@settings(deadline=None, max_examples=40)
@given(data=st.binary(max_size=3000), cuts=st.lists(st.integers(0, 3000), max_size=6))
def test_parts_sealed_together_inflate_to_what_was_sealed(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [data[start:stop] for start, stop in pairwise(edges)]
    compressed = [
        (part, wire.deflated(part, b"".join(parts[:at]))) for at, part in enumerate(parts)
    ]
    sealed = wire.seal_parts(compressed, b"tail", KEY)
    assert wire.unseal(sealed, KEY.public_key(), size_max=10_000) == data + b"tail"
    plain = wire.seal(data + b"tail", KEY)
    assert zlib.decompress(sealed, 31) == zlib.decompress(plain, 31)
