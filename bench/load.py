"""Make a hub of a given size in a data directory, quickly, through the same transactions.

    python -m bench.load DIR --packages 20000 --releases 250000

Made up from a fixed seed, in the shape of hex.pm: few packages have hundreds of releases and most
have five or fewer, a release asks for what the one before it asked for, a few names are asked for by
thousands. Releases share a small number of tarballs of 20 KB, since what is measured is the registry.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate, islice
from pathlib import Path

from bench.vocabulary import LICENSES, NOUNS, PREFIXES, SAYINGS, SUFFIXES
from cluster import Record, Transaction
from hexhub import app, config
from hexhub.formats import tarball
from hexhub.hub import Hub
from hexhub.schema import (
    PUBLIC,
    Downloads,
    Email,
    Owner,
    Package,
    PackageMeta,
    Release,
    Requirement,
    Retirement,
    User,
)
from tests.end_to_end import packages

SEED = 20_261_125
BATCH = 500
"""Rows in a transaction."""
WRITERS = 4
START = datetime(2014, 1, 1, tzinfo=UTC)
MINUTES = 6_000_000
RELEASES_MAX = 900
TARBALLS = 20
TARBALL_SIZE = 20_000
PEOPLE = 3_000
COUNTED_PACKAGES, COUNTED_DAYS = 1_000, 30
"""Packages that have been downloaded, and on how many days before today."""


def names(random_: random.Random, count: int) -> list[str]:
    """Distinct package names, popular ones first."""
    found: dict[str, None] = {}
    while len(found) < count:
        words = random_.choices(NOUNS, k=random_.choice((1, 2, 2, 2, 3)))
        found["_".join((*random_.choice(PREFIXES), *words, *random_.choice(SUFFIXES)))] = None
    return list(found)


def release_counts(random_: random.Random, package_count: int, release_count: int) -> list[int]:
    """How many releases each package has: log-normal, all together `release_count`."""
    weights = [random_.lognormvariate(0, 1.35) for _ in range(package_count)]
    scale = (release_count - package_count) / sum(weights)
    counts = [min(RELEASES_MAX, 1 + int(weight * scale)) for weight in weights]
    while (missing := release_count - sum(counts)) > 0:
        for index in random_.choices(range(package_count), weights, k=missing):
            counts[index] += counts[index] < RELEASES_MAX
    return counts


def versions(random_: random.Random, count: int) -> Iterator[str]:
    """The versions of one package in the order in which they came."""
    major, minor, patch = random_.choice(((0, 0, 1), (0, 1, 0), (0, 1, 0), (1, 0, 0)))
    left = count
    while left:
        for number in range(min(left, 2 if random_.random() < 0.04 else 0)):
            yield f"{major}.{minor}.{patch}-rc.{number}"
            left -= 1
        if left:
            yield f"{major}.{minor}.{patch}"
            left -= 1
        kind = random_.random()
        if kind < 0.70:
            patch += 1
        elif kind < 0.96:
            minor, patch = minor + 1, 0
        else:
            major, minor, patch = major + 1, 0, 0


class Registry:
    """The rows of a registry, one package after the other."""

    def __init__(
        self, package_count: int, release_count: int, stored: list[tuple[bytes, int]], today: date
    ) -> None:
        self._random = random.Random(SEED)
        self._stored = stored
        self._today = today
        self.names = names(self._random, package_count)
        self._counts = release_counts(self._random, package_count, release_count)
        self._popularity = list(accumulate(1 / (rank + 5) for rank in range(package_count)))

    def rows(self) -> Iterator[Record]:
        """People, then each package with its owners and releases."""
        for number in range(PEOPLE):
            yield User(username=f"person{number}", emails=(), created_at=START, updated_at=START)
        for rank, (name, count) in enumerate(zip(self.names, self._counts, strict=True)):
            yield from self._package(rank, name, count)

    def _package(self, rank: int, name: str, count: int) -> Iterator[Record]:
        random_ = self._random
        first = START + timedelta(minutes=random_.randint(0, MINUTES))
        step = timedelta(minutes=(MINUTES + 60 * 24 * 30) // count // 2)
        releases = list(self._releases(name, count, first, step))
        yield Package(
            repository=PUBLIC,
            name=name,
            meta=PackageMeta(
                description=" ".join(random_.choices(SAYINGS, k=random_.randint(5, 14))),
                licenses=(random_.choice(LICENSES),),
                links={"GitHub": f"https://example.org/person{rank % PEOPLE}/{name}"},
            ),
            created_at=first,
            updated_at=releases[-1].updated_at,
        )
        for username in {"bench", *(f"person{random_.randrange(PEOPLE)}" for _ in range(rank % 3))}:
            yield Owner(repository=PUBLIC, package=name, username=username)
        yield from releases
        for day in range(COUNTED_DAYS if rank < COUNTED_PACKAGES else 0):
            yield Downloads(
                repository=PUBLIC,
                package=name,
                version=releases[-1].version,
                day=(self._today - timedelta(days=day + 1)).isoformat(),
                count=2_000_000 // (rank + 20) + random_.randint(1, 50),
            )

    def _releases(
        self, name: str, count: int, first: datetime, step: timedelta
    ) -> Iterator[Release]:
        random_ = self._random
        asked = random_.choices(self.names, cum_weights=self._popularity, k=random_.randint(0, 7))
        requires = sorted({other for other in asked if other != name})
        for number, version in enumerate(versions(random_, count)):
            checksum, size = random_.choice(self._stored)
            at = first + number * step
            yield Release(
                repository=PUBLIC,
                package=name,
                version=version,
                inner_checksum=random_.randbytes(32),
                outer_checksum=checksum,
                size=size,
                app=name,
                build_tools=("mix",) if len(name) % 5 else ("rebar3",),
                elixir="~> 1.14" if len(name) % 5 else None,
                requirements=tuple(
                    Requirement(
                        repository=PUBLIC,
                        package=other,
                        app=other,
                        requirement=f"~> {1 + number // 20}.{len(other) % 7}",
                        optional=len(other) % 6 == 0,
                    )
                    for other in requires
                ),
                retirement=Retirement(reason="deprecated", message="use a later one")
                if random_.random() < 0.015
                else None,
                publisher="bench",
                created_at=at,
                updated_at=at,
            )


def _put_all(tx: Transaction, batch: list[Record]) -> None:
    for row in batch:
        tx.put(row)


async def _store_tarballs(hub: Hub) -> list[tuple[bytes, int]]:
    """Checksum and size of the tarballs that releases point to."""
    random_ = random.Random(SEED)
    stored = []
    for number in range(TARBALLS):
        text = random_.randbytes(TARBALL_SIZE * 3 // 4).hex().encode()[: TARBALL_SIZE * 4 // 3]
        data = packages.tarball("bench", f"1.0.{number}", {"lib/bench.ex": text})
        read = tarball.read(data)

        async def chunks(data: bytes = data) -> AsyncIterator[bytes]:
            yield data

        async with hub.spool.take(chunks(), 1 << 20) as spooled:
            await hub.storage.put(spooled)
        stored.append((read.outer_checksum, len(data)))
    return stored


async def fill(hub: Hub, package_count: int, release_count: int) -> list[str]:
    """Put a registry of this size into a hub; its package names, popular ones first."""
    email = Email(address="bench@example.org", verified=True, primary=True)
    owner = User(username="bench", emails=(email,), created_at=START, updated_at=START)
    await hub.store.transact(_put_all, [owner])
    stored = await _store_tarballs(hub)
    registry = Registry(package_count, release_count, stored, hub.now().date())
    rows = registry.rows()

    async def writer() -> None:
        while batch := list(islice(rows, BATCH)):
            await hub.store.transact(_put_all, batch)

    await asyncio.gather(*(writer() for _ in range(WRITERS)))
    return registry.names


async def load(folder: Path, package_count: int, release_count: int) -> None:
    """Make the data directory."""
    loaded = config.load({"DATA_DIR": str(folder)}, checkout=config.find_checkout())
    async with app.open_hub(loaded) as hub:
        await fill(hub, package_count, release_count)
        # Now, and not when the node starts that is measured.
        await hub.node.snapshot()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--packages", type=int, default=2_000)
    parser.add_argument("--releases", type=int, default=20_000)
    given = parser.parse_args()
    began = time.perf_counter()
    asyncio.run(load(given.folder.absolute(), given.packages, given.releases))
    print(
        f"{given.packages} packages and {given.releases} releases "
        f"in {time.perf_counter() - began:.1f} s"
    )


if __name__ == "__main__":
    main()
