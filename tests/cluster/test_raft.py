"""What orders entries: crash-only, without pickle, awake."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pysyncobj.pickle
import pytest

from cluster import Node, machine
from cluster.raft import EXIT_FATAL
from tests.cluster.conftest import OpenNode
from tests.cluster.tables import Counter, Note, increment
from tests.cluster.test_store import Link

ROOT = Path(__file__).parents[2]


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    head = """
        import asyncio, resource, sys
        from pathlib import Path
        from cluster import *
        from cluster import machine
        from tests.cluster.tables import *

        def settings(**more):
            return NodeSettings(name="n", directory=Path(sys.argv[1]), disk_reserve=0, **more)
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )


async def test_an_error_while_applying_ends_the_process_and_a_restart_applies_it(
    open_node: OpenNode, tmp_path: Path
) -> None:
    script = """
        def fails(*args):
            raise OSError("the disk went away")

        async def main():
            node = await Node.open(settings(), schema)
            await node.store.transact(increment, "before")
            machine.apply = fails
            await node.store.transact(increment, "during")

        asyncio.run(main())
    """
    ended = run(script, str(tmp_path / "data"))
    assert ended.returncode == EXIT_FATAL
    assert "the disk went away" in ended.stderr
    node = await open_node()
    with node.store.view() as view:
        assert view.get(Counter, "before") == Counter(name="before", value=1)
        assert view.get(Counter, "during") == Counter(name="during", value=1)


async def test_a_disk_that_is_full_after_all_leaves_nothing_half_written(
    open_node: OpenNode, tmp_path: Path
) -> None:
    """The kernel refuses every write past a size; no reserve stands before it."""
    script = """
        async def main():
            node = await Node.open(settings(), schema)
            for at in range(100):
                await node.store.transact(put, Note(shelf="a", title=f"{at:03}"))
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
            for at in range(100, 1000):
                text = "x" * 20_000
                await node.store.transact(put, Note(shelf="a", title=f"{at:03}", text=text))
                print(at, flush=True)

        asyncio.run(main())
    """
    ended = run(script, str(tmp_path / "data"))
    assert ended.returncode == EXIT_FATAL
    assert "this node stops" in ended.stderr
    acknowledged = len(ended.stdout.split())
    node = await open_node()
    with node.store.view() as view:
        titles = [note.title for note in view.scan(Note, "a")]
    assert titles == [f"{at:03}" for at in range(len(titles))]
    assert 100 + acknowledged <= len(titles) <= 101 + acknowledged


async def test_a_start_on_a_disk_that_takes_nothing_is_an_error_with_a_name(
    open_node: OpenNode, tmp_path: Path
) -> None:
    script = """
        async def main():
            resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
            try:
                await Node.open(settings(), schema)
            except (DiskFull, DiskFailed) as error:
                print("refused:", error)

        asyncio.run(main())
    """
    node = await open_node()
    await node.store.transact(increment, "c")
    await node.close()
    ended = run(script, str(tmp_path / "data"))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("refused:")
    node = await open_node()
    assert await node.store.transact(increment, "c") == 2


async def test_nothing_is_pickled(open_node: OpenNode, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("pickle was used")

    for module in (pickle, pysyncobj.pickle):
        for name in ("loads", "dumps", "load", "dump"):
            monkeypatch.setattr(module, name, refuse)
    node = await open_node()
    await node.store.transact(increment, "c")
    await node.snapshot()
    await node.close()
    node = await open_node()
    assert await node.store.transact(increment, "c") == 2


async def test_a_lone_writer_does_not_wait_for_the_poll(
    open_node: OpenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without being woken each commit waits out the poll, and the write is sent again (M8)."""
    monkeypatch.setattr("cluster.raft.TICK_SECONDS", 60.0)
    node = await open_node()
    link = Link(node)
    for _ in range(3):
        await node.store.transact(increment, "c")
    assert len(link.sent) == 3


async def test_nothing_is_applied_before_it_is_durable(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def noting(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            result = real(*args)
            order.append(name)
            return result

        return call

    log = node.raft.journal._log
    monkeypatch.setattr(log, "write", noting("durable", log.write))
    monkeypatch.setattr(machine, "apply", noting("applied", machine.apply))
    await node.store.transact(increment, "c")
    assert order == ["durable", "applied"]


async def test_a_closed_node_leaves_no_thread(open_node: OpenNode) -> None:
    node = await open_node()
    await node.snapshot()
    await node.close()
    assert not [one for one in threading.enumerate() if one.name in ("raft", "snapshot")]


async def test_the_status_of_a_cluster_of_one(open_node: OpenNode) -> None:
    node = await open_node(version="1.2.3")
    await node.store.transact(increment, "c")
    status = node.status()
    assert (status.node, status.role, status.leader, status.version) == (
        "n1",
        "leader",
        "n1",
        "1.2.3",
    )
    assert status.quorum
    assert status.applied == status.commit == node.store.applied
    assert [(m.name, m.role, m.reachable, m.lag) for m in status.members] == [
        ("n1", "leader", True, 0)
    ]
    assert status.disk_free > 0
    first = (status.cluster, status.term)
    await node.close()
    again = (await open_node(version="1.2.3")).status()
    assert (again.cluster, again.term) == (first[0], first[1] + 1)
