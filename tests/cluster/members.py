"""Several members in one process, on the loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster import ClusterError, Node, NodeSettings, Record, Schema
from cluster.discovery import Fixed, Peer
from tests.cluster import tables

SECRET = b"the secret of the tests' cluster"
SECONDS = 15.0


async def until(holds: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Wait for something to become true; fail when it does not."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  what holds is decided by other threads
            await asyncio.sleep(0.01)


def get(node: Node, record: type[Record], *key: str) -> Any:
    with node.store.view() as view:
        return view.get(record, *key)


class Members:
    """The nodes of one test, closed at its end."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.nodes: dict[str, Node] = {}

    async def open(self, name: str, schema: Schema = tables.schema, **more: Any) -> Node:
        """Open a member, or a node that is to become one."""
        settings: dict[str, Any] = {
            "directory": self.root / name,
            "disk_reserve": 0,
            "secret": SECRET,
            "bind": ("127.0.0.1", 0),
            "version": "1",
        }
        node = await Node.open(NodeSettings(name=name, **{**settings, **more}), schema)
        self.nodes[name] = node
        return node

    async def reopen(self, name: str, **more: Any) -> Node:
        await self.nodes[name].close()
        return await self.open(name, **more)

    async def join(self, name: str, target: Node, **more: Any) -> Node:
        """A new member of the cluster of `target`, counted when this returns."""
        node = await self.open(name, **more)
        await node.join(target.address)
        node = await self.reopen(name, **more)
        await until(lambda: node.raft.standing)
        return node

    async def three(self, **more: Any) -> tuple[Node, Node, Node]:
        """a leads; b and c have joined."""
        a = await self.open("a", **more)
        b = await self.join("b", a, **more)
        c = await self.join("c", a, **more)
        for node in (a, b, c):
            await node.store.barrier()
            await until(lambda node=node: len(node.raft.peers.reachable()) == 2)  # type: ignore[misc]
        return a, b, c

    async def leader(self, *nodes: Node) -> Node:
        """Whoever of these leads, once one does."""
        await until(lambda: any(node.raft.ready for node in nodes))
        return next(node for node in nodes if node.raft.ready)

    async def close(self) -> None:
        await asyncio.gather(*(node.close() for node in self.nodes.values()))


class Seen:
    """A discovery that finds whoever is put in."""

    def __init__(self) -> None:
        self.found: list[Peer] = []

    async def peers(self) -> list[Peer]:
        return self.found

    async def close(self) -> None: ...


def known(*nodes: Node) -> Fixed:
    """A discovery that names these."""
    return Fixed(Peer(node.settings.name, *node.address) for node in nodes)


async def written(node: Node, work: Any, *args: Any) -> Any:
    """The result of a transaction, tried again while there is no leader."""
    while True:
        try:
            return await node.store.transact(work, *args)
        except ClusterError:
            await asyncio.sleep(0.05)
