"""Figures of several members on one machine: `python -m bench.cluster [PART …]`, else all parts.

    writes    durable writes a second, and reads inside one member
    failover  from the loss of a leader to the next acknowledged write
    snapshot  500 MB to a member without data, under writes
    visible   from the request of a publish until every node shows the package
    reads     requests a second of one, two and three nodes (needs `wrk`)

Members are processes on the loopback, data in a temporary folder. In the first three parts load
comes from inside a member, so no HTTP is in the figures; the others ask whole nodes. Read them as
ratios: members and load share the processors.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from bench.http import wrk
from bench.store import disk
from tests.cluster.chaos.fleet import Fleet, Refused, Silent, fleet
from tests.end_to_end.members import Members, start
from tests.end_to_end.packages import rebar3_project, tarball

SECONDS = 4.0
VALUE_BYTES = 1024
FAILOVERS = 30
PUBLISHES = 300
SNAPSHOT_BYTES = 500 << 20
FILL_BYTES = 400_000


async def writes() -> None:
    """Durable writes a second, and how long each takes, by members and writers."""
    for count in (1, 3):
        with tempfile.TemporaryDirectory() as root:
            async with fleet(Path(root), count, snapshot_entries=100_000) as members:
                names = [await members.leader()]
                syncs = await asyncio.to_thread(disk, Path(root), 1.0)
                print(f"the disk: {syncs:.0f} appends with fdatasync a second", flush=True)
                if count > 1:
                    names.append(next(one for one in members.names if one != names[0]))
                for name, role in zip(names, ("leader", "follower"), strict=False):
                    for writers in (1, 16, 128):
                        took = await members.ask(
                            name, "load", writers, SECONDS, VALUE_BYTES, seconds=60
                        )
                        print(
                            f"{count} members, {writers:3} writers at the {role}: "
                            f"{len(took) / SECONDS:6.0f} a second, {spread(took)}",
                            flush=True,
                        )
                found = await members.ask(names[0], "reads", 2.0, seconds=60)
                print(
                    f"{count} members, reads a second at one: {found['plain']:.0f}, behind a "
                    f"barrier each: {found['barrier']:.0f}",
                    flush=True,
                )


async def failover() -> None:
    """From kill -9 of the leader to the next acknowledged write, at another member."""
    took: list[float] = []
    with tempfile.TemporaryDirectory() as root:
        async with fleet(Path(root)) as members:
            for number in range(FAILOVERS):
                name = await members.leader()
                await asyncio.sleep(2)
                other = next(one for one in members.names if one != name)
                members.kill(name)
                began = time.monotonic()
                await until_done(members, other, "fill", "f", str(number), 100)
                took.append(time.monotonic() - began)
                members.start(name)
                await members.alike()
    print(f"leader lost to next write: {spread(took)}, slowest {max(took) * 1000:.0f} ms")


async def snapshot() -> None:
    """A member without data joins a large cluster under load: how long, how much, who stalls."""
    with tempfile.TemporaryDirectory() as root:
        async with fleet(Path(root), 3, snapshot_entries=2000) as members:
            leader = await members.leader()
            late = next(one for one in members.names if one != leader)
            members.kill(late)
            for number in range(SNAPSHOT_BYTES // FILL_BYTES):
                await members.ask(leader, "fill", "big", str(number), FILL_BYTES, seconds=60)
            await members.ask(leader, "snapshot", seconds=120)
            await members.ask(leader, "fill", "big", "last", 100)
            term = (await members.ask(leader, "status"))["term"]
            loading = asyncio.create_task(
                members.ask(leader, "load", 8, 10.0, VALUE_BYTES, seconds=60)
            )
            members.start(late)
            began = time.monotonic()
            while True:
                with suppress(Silent, Refused):
                    status = await members.ask(late, "status", seconds=2.0)
                    if status["quorum"] and any(
                        title == "last" for title, _ in await members.ask(late, "tail", "big")
                    ):
                        break
                await asyncio.sleep(0.05)
            caught_up = time.monotonic() - began
            took = await loading
            memory = await members.ask(late, "memory")
            after = (await members.ask(leader, "status"))["term"]
            print(
                f"{SNAPSHOT_BYTES >> 20} MB to a member without data: {caught_up:.1f} s, its own "
                f"memory {memory['RssAnon'] >> 20} MB, terms {term} to {after}; writes meanwhile: "
                f"{spread(took)}, slowest {max(took) * 1000:.0f} ms"
            )


async def visible() -> None:
    """Publish by one node after the other; every node is asked until it has the package."""
    with tempfile.TemporaryDirectory() as root:
        nodes = hubs(Path(root), 3)
        try:
            nodes.nodes[0].create_user("mara")
            key = nodes.nodes[0].create_key("mara", "api")
            took: list[float] = []
            answered: list[float] = []
            async with ClientSession() as session:
                for number in range(PUBLISHES):
                    name = f"seen{number}"
                    content = tarball(name, "1.0.0", rebar3_project(name, "1.0.0"))
                    by, began = nodes.nodes[number % 3], time.monotonic()
                    shown = [
                        asyncio.create_task(until_shown(session, f"{node.url}/packages/{name}"))
                        for node in nodes
                    ]
                    headers = {"authorization": key, "content-type": "application/octet-stream"}
                    async with session.post(
                        f"{by.url}/api/publish?replace=false", data=content, headers=headers
                    ) as answer:
                        assert answer.status == 201, await answer.text()
                    answered.append(time.monotonic() - began)
                    await asyncio.gather(*shown)
                    took.append(time.monotonic() - began)
            print(f"publish answered: {spread(answered)}")
            print(f"publish visible on 3 nodes: {spread(took)}, slowest {max(took) * 1000:.0f} ms")
        finally:
            nodes.stop()


async def until_shown(session: ClientSession, url: str) -> None:
    while True:
        async with session.get(url) as answer:
            await answer.read()
            if answer.status == 200:
                return
        await asyncio.sleep(0.002)


async def reads() -> None:
    """The same registry resource at one, two and three nodes at once."""
    for count in (1, 2, 3):
        with tempfile.TemporaryDirectory() as root:
            nodes = hubs(Path(root), count)
            try:
                nodes.nodes[0].create_user("mara")
                key = nodes.nodes[0].create_key("mara", "api")
                nodes.nodes[0].must_publish(tarball("small", "1.0.0", {"a": b"a" * 20_000}), key)
                asked = [
                    asyncio.to_thread(wrk, f"{node.url}/packages/small", "*/*", 16, 3)
                    for node in nodes
                ]
                rates = [rate for rate, _ in await asyncio.gather(*asked)]
                each = ", ".join(f"{rate:.0f}" for rate in rates)
                print(f"{count} nodes: {sum(rates):.0f} reads a second ({each})", flush=True)
            finally:
                nodes.stop()


def hubs(root: Path, count: int) -> Members:
    nodes = start(root, count, together=count > 1, CLUSTER_EXPECT=str(count))
    nodes.wait_until_healthy()
    return nodes


async def until_done(members: Fleet, name: str, *question: Any) -> Any:
    while True:
        with suppress(Silent, Refused):
            return await members.ask(name, *question)
        await asyncio.sleep(0.005)


def spread(took: list[float]) -> str:
    cut = statistics.quantiles(took, n=100) if len(took) > 1 else took * 99
    return f"median {cut[49] * 1000:.1f} ms, p99 {cut[98] * 1000:.1f} ms"


PARTS: dict[str, Callable[[], Awaitable[None]]] = {
    "writes": writes,
    "failover": failover,
    "snapshot": snapshot,
    "visible": visible,
    "reads": reads,
}


async def main(names: list[str]) -> None:
    for name in names or list(PARTS):
        await PARTS[name]()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
