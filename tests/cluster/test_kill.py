"""Killed at any moment, a node keeps every acknowledged write, exactly once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cluster import Node
from tests.cluster.conftest import OpenNode
from tests.cluster.tables import Counter, Note
from tests.cluster.writer import CRASHES, WRITERS

SEED = 20


def run(directory: Path, crash: str | None, seconds: float) -> dict[str, int]:
    """Write until killed; the highest number acknowledged to each writer."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cluster.writer", str(directory), *([crash] if crash else [])],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    lines = iter(process.stdout.readline, b"")
    acknowledged: dict[str, int] = {}
    timer = threading.Timer(30 if crash else seconds, process.kill)
    if crash:
        timer.start()
    with process.stdout:
        for line in lines:
            if line == b"open\n":
                if not crash:
                    timer.start()
                continue
            writer, number = line.split()
            acknowledged[writer.decode()] = int(number)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    if crash:
        assert timer.is_alive(), f"it never came to {crash!r}"
        timer.cancel()
    return acknowledged


def check(node: Node, acknowledged: dict[str, int]) -> None:
    with node.store.view() as view:
        for at in range(WRITERS):
            writer = str(at)
            rows = [int(note.title) for note in view.scan(Note, writer)]
            counter = view.get(Counter, writer) or Counter(name=writer)
            assert rows == list(range(len(rows))), "a write is missing"
            assert counter.value == len(rows), "a write was applied twice or by half"
            # one more may be durable whose answer was never read
            last = acknowledged.get(writer, -1)
            assert last < len(rows) <= last + 2, "an acknowledged write is lost"


async def kills(open_node: OpenNode, tmp_path: Path, count: int, seed: int) -> None:
    chance = random.Random(seed)
    acknowledged: dict[str, int] = {}
    for _ in range(count):
        acknowledged |= run(tmp_path / "data", None, chance.uniform(0.0, 0.25))
        node = await open_node()
        check(node, acknowledged)
        with node.store.view() as view:
            for at in range(WRITERS):
                acknowledged[str(at)] = view.count(Note, str(at)) - 1
        await node.close()
    assert sum(acknowledged.values()) > count, "nothing was written between the kills"


async def test_nothing_is_lost_or_doubled_by_kills(open_node: OpenNode, tmp_path: Path) -> None:
    await kills(open_node, tmp_path, 15, SEED)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_lost_or_doubled_by_many_kills(
    open_node: OpenNode, tmp_path: Path, seed: int
) -> None:
    await kills(open_node, tmp_path, 50, seed)


@pytest.mark.parametrize("crash", CRASHES)
async def test_a_crash_at_this_point_loses_nothing(
    open_node: OpenNode, tmp_path: Path, crash: str
) -> None:
    acknowledged = run(tmp_path / "data", crash, 0)
    node = await open_node()
    check(node, acknowledged)
    await node.store.transact(lambda tx: tx.put(Counter(name="goes on")))
