"""Mixed load at 70 % of capacity for minutes: do memory, descriptors and the slowest answers stay flat?

    python -m bench.soak --minutes 60 [--dir DIR] [--workers 1]

A publish comes every half second. First the capacity beside it is found with as many requests as
the readers can make; then the same mix comes at 70 % of that pace. A row is printed for each tenth
of the time, and at the end what was gained from the first row to the last.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from bench import nodes
from bench.nodes import BenchNode
from tests.end_to_end import packages

CONNECTIONS = 32
SHARE = 0.7
WARM_S, CAPACITY_S = 10.0, 20.0
PUBLISH_EVERY_S = 0.5
ROWS = 10
MEGABYTE = 1 << 20

MIX: tuple[tuple[int, str, str], ...] = (
    (50, "/packages/{name}", "*/*"),
    (25, "/tarballs/{name}-1.0.0.tar", "*/*"),
    (10, "/api/packages/{name}", "application/json"),
    (5, "/packages/{name}", "text/html"),
    (4, "/api/packages?page={page}", "application/json"),
    (3, "/api/packages?search={name}", "application/json"),
    (2, "/versions", "*/*"),
    (1, "/names", "*/*"),
)
"""Weight, path and Accept of what is asked for."""


@dataclass(frozen=True)
class Row:
    """A tenth of the time."""

    minutes: float
    rate: float
    median_ms: float
    p99_ms: float
    publish_ms: float
    memory: float
    """Megabytes of all processes of the node, without pages of files."""
    descriptors: int
    cpu: float
    errors: int


class Load:
    """Readers and one publisher, and what they saw since the last row."""

    def __init__(self, port: int, key: str, names: list[str]) -> None:
        self._port = port
        self._key = key
        self._names = names
        self._random = random.Random(1)
        self._weights = [weight for weight, _, _ in MIX]
        self.took: list[float] = []
        self.publishes: list[float] = []
        self.errors = 0
        self.pace = 0.0
        """Requests a second of all readers; 0: as many as they can."""
        self._due = 0.0

    def _request(self) -> bytes:
        ((_, path, accept),) = self._random.choices(MIX, self._weights)
        # A few names are asked for most of the time, as everywhere.
        name = self._names[int(len(self._names) * self._random.random() ** 4)]
        target = path.format(name=name, page=self._random.randint(1, 5))
        return (
            f"GET {target} HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\nAccept: {accept}\r\n\r\n"
        ).encode()

    async def reader(self) -> None:
        """Ask for ever on one connection."""
        async with _connection(self._port) as (reader, writer):
            while True:
                if self.pace:
                    now = time.monotonic()
                    self._due = max(self._due, now - 1.0) + 1 / self.pace
                    if self._due > now:
                        await asyncio.sleep(self._due - now)
                began = time.perf_counter()
                writer.write(self._request())
                self.errors += await _answer(reader) != 200
                self.took.append(time.perf_counter() - began)

    async def publisher(self) -> None:
        """Publish new releases of few packages for ever."""
        async with _connection(self._port) as (reader, writer):
            for number in count(1):
                body = os.urandom(15_000)
                tarball = packages.tarball(f"soak{number % 50}", f"1.{number}.0", {"data": body})
                head = (
                    "POST /api/publish HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\n"
                    f"Authorization: {self._key}\r\nContent-Type: application/octet-stream\r\n"
                    f"Content-Length: {len(tarball)}\r\n\r\n"
                )
                began = time.perf_counter()
                writer.write(head.encode() + tarball)
                self.errors += await _answer(reader) != 201
                self.publishes.append(time.perf_counter() - began)
                await asyncio.sleep(PUBLISH_EVERY_S)


@asynccontextmanager
async def _connection(
    port: int,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader) -> int:
    """The status of an answer that is read to its end."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"\r\ntransfer-encoding: chunked" in head:
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    else:
        length = head.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length or 0))
    return int(head[9:12])


async def soak(
    member: BenchNode, seconds: float, names: list[str], show: Callable[[Row], None]
) -> list[Row]:
    """Load a node and look at it; a row for each tenth of the time."""
    load = Load(member.port, member.key(), names)
    work = [asyncio.create_task(load.reader()) for _ in range(CONNECTIONS)]
    work.append(asyncio.create_task(load.publisher()))
    await asyncio.sleep(WARM_S)
    load.took.clear()
    await asyncio.sleep(CAPACITY_S)
    capacity = len(load.took) / CAPACITY_S
    load.pace = capacity * SHARE
    print(f"{capacity:.0f} requests a second as fast as they come; {load.pace:.0f} from here on")
    rows: list[Row] = []
    began = time.monotonic()
    try:
        for number in range(1, ROWS + 1):
            load.took, load.publishes, load.errors = [], [], 0
            before, cpu = time.monotonic(), member.cpu_s()
            await asyncio.sleep(began + seconds * number / ROWS - before)
            for task in work:
                if task.done():
                    await task
            spent = time.monotonic() - before
            # A tenth in which nothing was answered is a row too.
            quantiles = statistics.quantiles([*load.took, *[spent] * (2 - len(load.took))], n=100)
            rows.append(
                Row(
                    minutes=(time.monotonic() - began) / 60,
                    rate=len(load.took) / spent,
                    median_ms=quantiles[49] * 1000,
                    p99_ms=quantiles[98] * 1000,
                    publish_ms=statistics.median(load.publishes or [spent]) * 1000,
                    memory=member.memory()[0] / MEGABYTE,
                    descriptors=member.descriptors(),
                    cpu=(member.cpu_s() - cpu) / spent,
                    errors=load.errors,
                )
            )
            show(rows[-1])
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
    return rows


def line(row: Row) -> str:
    return (
        f"{row.minutes:7.1f} {row.rate:9.0f} {row.median_ms:10.2f} {row.p99_ms:8.1f} "
        f"{row.publish_ms:11.1f} {row.memory:9.0f} {row.descriptors:12} {row.cpu:5.2f} {row.errors:7}"
    )


HEAD = "minutes  a second  median ms   p99 ms  publish ms  memory MB  descriptors   CPU  errors"


def prepare(member: BenchNode) -> list[str]:
    """Packages to ask for, where there are none yet."""
    key = member.key()
    names = [f"seed{number}" for number in range(200)]
    for name in names:
        tarball = packages.tarball(name, "1.0.0", {"data": os.urandom(15_000)})
        member.publish(key, tarball)
    return names


def run(folder: Path, minutes: float, workers: int) -> list[Row]:
    """A node over a data directory under load; its rows, printed as they come."""
    with nodes.node(folder, WORKERS=str(workers)) as member:
        member.wait_for("/health/ready")
        names = prepare(member)
        print(HEAD)
        rows = asyncio.run(
            soak(member, minutes * 60, names, lambda row: print(line(row), flush=True))
        )
    settled, last = rows[len(rows) // 5], rows[-1]
    print(
        f"from minute {settled.minutes:.1f} to {last.minutes:.1f}: "
        f"memory {last.memory - settled.memory:+.1f} MB, "
        f"descriptors {last.descriptors - settled.descriptors:+}, "
        f"p99 {last.p99_ms - settled.p99_ms:+.1f} ms"
    )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--dir", type=Path, help="a data directory to copy, of bench.load")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hexhub-bench-") as name:
        folder = Path(name) / "data"
        if given.dir is not None:
            shutil.copytree(given.dir, folder)
        rows = run(folder, given.minutes, given.workers)
    if any(row.errors for row in rows):
        sys.exit("there were errors")


if __name__ == "__main__":
    main()
