"""How long pages take on a hub of the size of hex.pm: medians in milliseconds, one reader at a time.

    python -m bench.web [--packages 20000] [--releases 250000] [--requests 200] [--processor-time]

The pages are asked for over HTTP from a node in this process, so a figure holds both ends.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import load
from hexhub.schema import Package
from hexhub.search import Query
from tests.end_to_end import packages
from tests.hexhub import hubs

AS_BROWSER = {"Accept": "text/html", "Accept-Encoding": "gzip"}
README = (
    "# Lantern\n\n"
    + "A paragraph with `code` and **words**.\n\n```elixir\ndef a, do: 1\n```\n\n" * 30
)


async def median(
    hub: hubs.TestHub, count: int, path: Callable[[], str], clock: Callable[[], float]
) -> tuple[float, float]:
    """Median and 95th percentile of a page, in milliseconds."""
    times = []
    for _ in range(count):
        began = clock()
        answer = await hub.nobody.request("GET", path(), headers=AS_BROWSER)
        times.append((clock() - began) * 1000)
        assert answer.status == 200, (answer.status, answer.body[:300])
    return statistics.median(times), statistics.quantiles(times, n=20)[-1]


async def weight(hub: hubs.TestHub, path: str) -> int:
    """Bytes over the wire of a page and of all that it loads, when nothing is known yet."""
    page = await hub.nobody.request("GET", path, headers=AS_BROWSER)
    loaded = re.findall(
        r'(?:src|href)="(/(?:assets|packages/[^"]+/(?:raw|picture))/[^"]+)"', _text(page)
    )
    size = len(page.body)
    for address in dict.fromkeys(loaded):
        size += len((await hub.nobody.request("GET", address, headers=AS_BROWSER)).body)
    return size


def _text(answer: hubs.Answer) -> str:
    body = answer.body
    return (gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body).decode()


async def measure(
    package_count: int, release_count: int, requests: int, clock: Callable[[], float]
) -> None:
    """Fill a hub and print a line for each page."""
    random_ = random.Random(7)
    with tempfile.TemporaryDirectory() as folder:
        async with hubs.running(Path(folder)) as hub:
            await load.fill(hub.hub, package_count, release_count)
            mara = await hub.user("mara")
            files = {"README.md": README.encode(), "lib/a.ex": b"defmodule A do\nend\n"}
            for version in ("1.0.0", "1.1.0"):
                tar = packages.tarball("with_readme", version, files | {"v": version.encode()})
                answer = await mara.publish(tar)
                assert answer.status == 201, answer.body
            began = time.perf_counter()
            await hub.hub.catalogue.find(["hexpm"], Query(), "name", hub.hub.now().date())
            print(f"catalogue read in {time.perf_counter() - began:.1f} s")
            with hub.hub.store.view() as view:
                names = [package.name for package in view.scan(Package, "hexpm")]
            words = [name[:5] for name in random_.sample(names, 50)]
            fresh = iter(random_.sample(names, 2 * requests + 10))
            pages: dict[str, Callable[[], str]] = {
                "home": lambda: "/",
                "package": lambda: f"/packages/{random_.choice(names)}",
                "package with README": lambda: "/packages/with_readme",
                "list": lambda: f"/packages?page={random_.randint(1, 200)}",
                "search": lambda: f"/packages?search={random_.choice(words)}",
                "search, a new one": lambda: f"/packages?search={next(fresh)[:6]}+key",
                "search as you type": lambda: f"/search.json?q={random_.choice(words)}",
                "files": lambda: "/packages/with_readme/1.0.0/files",
                "difference": lambda: "/diff/with_readme/1.0.0..1.1.0",
            }
            for name, path in pages.items():
                await median(hub, 3, path, clock)
                middle, slow = await median(hub, requests, path, clock)
                print(f"{name:20} {middle:7.1f} ms, 95 % within {slow:7.1f} ms")
            for first in ("/", "/packages/with_readme", "/packages"):
                size = await weight(hub, first) / 1000
                print(f"{first:22} {size:6.1f} kB over the wire at first")


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=int, default=20_000)
    parser.add_argument("--releases", type=int, default=250_000)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument(
        "--processor-time", action="store_true", help="for a machine that is busy with other things"
    )
    given = parser.parse_args()
    clock = time.process_time if given.processor_time else time.perf_counter
    asyncio.run(measure(given.packages, given.releases, given.requests, clock))


if __name__ == "__main__":
    main()
