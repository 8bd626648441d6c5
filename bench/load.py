"""Make a hub of a given size in a data directory, quickly, through the same transactions.

    python -m bench.load DIR --packages 2000 --releases 20000

Names, versions, dependencies and the skew of releases over packages are made up from a fixed seed;
every release points to the same small tarball, since what is measured with it is the registry.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cluster import Record, Transaction
from hexhub import app, config
from hexhub.formats import tarball
from hexhub.hub import Hub
from hexhub.schema import (
    PUBLIC,
    Email,
    Owner,
    Package,
    PackageMeta,
    Release,
    Requirement,
    User,
)
from tests.end_to_end import packages

SEED = 20_261_125
BATCH = 400
START = datetime(2020, 1, 1, tzinfo=UTC)
SYLLABLES = [
    "ex",
    "phoe",
    "nix",
    "ec",
    "to",
    "plug",
    "tes",
    "la",
    "jas",
    "on",
    "cow",
    "boy",
    "ran",
    "ch",
    "han",
    "dle",
    "ban",
    "dit",
    "floki",
    "mint",
]


def names(random_: random.Random, count: int) -> list[str]:
    """Distinct package names of two to four syllables."""
    found: set[str] = set()
    while len(found) < count:
        found.add("_".join(random_.choices(SYLLABLES, k=random_.randint(2, 4))) + _suffix(found))
    return sorted(found)


def _suffix(found: set[str]) -> str:
    return str(len(found)) if len(found) > 500 else ""


def rows(package_count: int, release_count: int, checksum: bytes, size: int) -> Iterator[Record]:
    """The rows of a registry: a few packages have many releases, most have few."""
    random_ = random.Random(SEED)
    all_names = names(random_, package_count)
    weights = [1 / (rank + 3) for rank in range(package_count)]
    random_.shuffle(weights)
    extra = random_.choices(range(package_count), weights, k=release_count - package_count)
    counts = [1] * package_count
    for index in extra:
        counts[index] += 1
    for name, count in zip(all_names, counts, strict=True):
        made = START + timedelta(minutes=random_.randint(0, 3_000_000))
        yield Package(
            repository=PUBLIC,
            name=name,
            meta=PackageMeta(description=f"Does {name} well", licenses=("Apache-2.0",)),
            created_at=made,
            updated_at=made,
        )
        yield Owner(repository=PUBLIC, package=name, username="bench")
        for number in range(count):
            yield Release(
                repository=PUBLIC,
                package=name,
                version=f"{number // 100}.{number // 10 % 10}.{number % 10}",
                inner_checksum=checksum,
                outer_checksum=checksum,
                size=size,
                app=name,
                build_tools=("mix",),
                requirements=tuple(
                    Requirement(repository=PUBLIC, package=other, app=other, requirement="~> 1.0")
                    for other in sorted(set(random_.sample(all_names, k=random_.randint(0, 5))))
                    if other != name
                ),
                publisher="bench",
                created_at=made + timedelta(days=number),
                updated_at=made + timedelta(days=number),
            )


def _put_all(tx: Transaction, batch: list[Record]) -> None:
    for row in batch:
        tx.put(row)


async def fill(hub: Hub, package_count: int, release_count: int) -> None:
    """Put a registry of this size into a hub."""
    data = packages.tarball("bench", "1.0.0", {"lib/bench.ex": b"defmodule Bench do\nend\n"})
    read = tarball.read(data)

    async def chunks() -> AsyncIterator[bytes]:
        yield data

    async with hub.spool.take(chunks(), 1 << 20) as spooled:
        await hub.storage.put(spooled)
    email = Email(address="bench@example.org", verified=True, primary=True)
    owner = User(username="bench", emails=(email,), created_at=START, updated_at=START)
    await hub.store.transact(_put_all, [owner])
    batch: list[Record] = []
    for row in rows(package_count, release_count, read.outer_checksum, len(data)):
        batch.append(row)
        if len(batch) == BATCH:
            await hub.store.transact(_put_all, batch)
            batch = []
    await hub.store.transact(_put_all, batch)


async def load(folder: Path, package_count: int, release_count: int) -> None:
    """Make the data directory."""
    loaded = config.load({"DATA_DIR": str(folder)}, checkout=config.find_checkout())
    async with app.open_hub(loaded) as hub:
        await fill(hub, package_count, release_count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--packages", type=int, default=2_000)
    parser.add_argument("--releases", type=int, default=20_000)
    given = parser.parse_args()
    asyncio.run(load(given.folder.absolute(), given.packages, given.releases))


if __name__ == "__main__":
    main()
