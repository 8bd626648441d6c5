"""How fast the store of one node is: durable writes, reads, and the disk beside them.

    python -m bench.store [--directory DIR] [--rounds N] [--seconds S]

The figures of a round are taken in turn (disk, writers, disk, writers, …), and the medians of
all rounds are printed: on a disk that others use, only what was measured beside each other can
be compared. A write is one transaction of a record of about 300 bytes with one index.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

from cluster import Node, NodeSettings, Record, Schema, Transaction

schema = Schema(number=1)
WRITERS = (1, 16, 128)
ROWS = 10_000


@schema.table("items", key=("group", "name"), indexes={"owner": ("owner",)})
class Item(Record, kw_only=True):
    group: str
    name: str
    owner: str
    text: str = ""


def put(tx: Transaction, item: Item) -> None:
    tx.put(item)


def item(number: int) -> Item:
    return Item(
        group=f"g{number % 20:02}", name=f"{number:08}", owner=f"u{number % 100}", text="x" * 250
    )


def disk(directory: Path, seconds: float) -> float:
    """Appends of 300 bytes, each with fdatasync, a second."""
    path = directory / "disk"
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def append() -> None:
        os.write(fd, b"x" * 300)
        os.fdatasync(fd)

    try:
        return _rate(append, seconds)
    finally:
        os.close(fd)
        path.unlink()


async def writes(node: Node, writers: int, seconds: float, first: int) -> tuple[float, float]:
    """Transactions a second, and the median milliseconds of one."""
    began = time.perf_counter()
    took: list[float] = []
    number = first

    async def write() -> None:
        nonlocal number
        while (at := time.perf_counter()) - began < seconds:
            number += 1
            await node.store.transact(put, item(number))
            took.append(time.perf_counter() - at)

    await asyncio.gather(*(write() for _ in range(writers)))
    return len(took) / (time.perf_counter() - began), statistics.median(took) * 1000


def reads(node: Node, seconds: float) -> dict[str, float]:
    """Reads a second by kind; a scan and a find count rows."""
    view = node.store.view
    numbers = iter(range(1 << 60))

    def get_alone() -> None:
        number = next(numbers) % ROWS
        with view() as one:
            assert one.get(Item, f"g{number % 20:02}", f"{number:08}") is not None

    with view() as shared:

        def get_shared() -> None:
            number = next(numbers) % ROWS
            shared.get(Item, f"g{number % 20:02}", f"{number:08}")

        found = {
            "get, a view each": _rate(get_alone, seconds),
            "get, one view": _rate(get_shared, seconds),
        }
        kinds: dict[str, Callable[[], int]] = {
            "scan, rows": lambda: sum(1 for _ in shared.scan(Item, "g07")),
            "find by index, rows": lambda: sum(1 for _ in shared.find(Item, "owner", "u7")),
            "count, rows": lambda: shared.count(Item, "g07"),
        }
        for name, scan in kinds.items():
            found[name] = _rate(scan, seconds) * scan()
    return found


def _rate(work: Callable[[], object], seconds: float) -> float:
    count, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        work()
        count += 1
    return count / passed


async def measure(directory: Path, rounds: int, seconds: float) -> None:
    figures: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        figures.setdefault(name, []).append(value)

    settings = NodeSettings(name="bench", directory=directory / "data")
    node = await Node.open(settings, schema)
    for start in range(0, ROWS, 500):
        await asyncio.gather(
            *(node.store.transact(put, item(at)) for at in range(start, start + 500))
        )
    for at in range(rounds):
        for writers in WRITERS:
            note("disk: append + fdatasync", disk(directory, seconds / 2))
            rate, middle = await writes(node, writers, seconds, (at + 1) * 10_000_000)
            note(f"writes, {writers} writers", rate)
            note(f"ms a write, {writers} writers", middle)
        for name, rate in reads(node, seconds / 4).items():
            note(name, rate)
    await node.close()
    for _ in range(rounds):
        began = time.perf_counter()
        node = await Node.open(settings, schema)
        note("ms to open", (time.perf_counter() - began) * 1000)
        await node.close()
    _print(figures, rounds)


def _print(figures: dict[str, list[float]], rounds: int) -> None:
    raw = statistics.median(figures["disk: append + fdatasync"])
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"medians of {rounds} rounds; writes are durable (fsync) and applied\n")
    print(f"{'what':<28}{'median':>12}{'least':>12}{'most':>12}{'x disk':>9}")
    for name, values in figures.items():
        middle = statistics.median(values)
        against = f"{middle / raw:.2f}" if name.startswith("writes") else ""
        digits = 2 if name.startswith("ms") else 0
        cells = "".join(f"{value:>12,.{digits}f}" for value in (middle, min(values), max(values)))
        print(f"{name:<28}{cells}{against:>9}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--directory", type=Path, help="on the disk to measure; default: TMPDIR")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure of a round")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.directory) as directory:
        uvloop.run(measure(Path(directory), chosen.rounds, chosen.seconds))


if __name__ == "__main__":
    main()
