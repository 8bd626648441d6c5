"""A hub that is made for measurements: its size is what was asked for, and its shape that of hex.pm."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

from bench import load
from hexhub.domain import packages
from hexhub.formats.version import Version
from hexhub.schema import PUBLIC, Package, Release
from tests.hexhub import hubs
from tests.hexhub.hubs import TestHub
from tests.hexhub.registry import versions

PACKAGES, RELEASES = 150, 1500


async def test_a_hub_of_a_size_has_it_and_can_be_read(tmp_path: Path) -> None:
    async with hubs.running(tmp_path) as hub:
        await _check(hub)


async def _check(hub: TestHub) -> None:
    names = await load.fill(hub.hub, PACKAGES, RELEASES)
    with hub.hub.store.view() as view:
        rows = list(view.scan(Release, PUBLIC))
        newest = packages.releases(view, next(view.scan(Package, PUBLIC)))[0]
    counts = Counter(row.package for row in rows)
    assert sorted(counts) == sorted(names)
    assert (len(counts), len(rows)) == (PACKAGES, RELEASES)
    assert max(counts.values()) > 8 * sorted(counts.values())[PACKAGES // 2]
    listed = await versions(hub)
    assert {name: len(entry.versions) for name, entry in listed.items()} == counts
    assert {required for row in rows for required in row.required} <= {
        f"{PUBLIC}/{name}" for name in names
    }
    tarball = await hub.nobody.get(f"/tarballs/{newest.package}-{newest.version}.tar")
    assert len(tarball.body) == newest.size


def test_the_same_size_gives_the_same_hub() -> None:
    one, two = (load.release_counts(Random(1), 50, 700) for _ in range(2))
    assert one == two
    assert sum(one) == 700
    assert min(one) >= 1


def test_versions_of_a_package_ascend() -> None:
    found = list(load.versions(Random(3), 300))
    parsed = [Version.parse(text) for text in found]
    assert parsed == sorted(parsed)
    assert len(set(found)) == 300
    assert any(version.pre for version in parsed)
