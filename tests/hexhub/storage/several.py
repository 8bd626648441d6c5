"""Storages of several nodes that reach one another over real links on the loopback."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cluster import Member
from cluster.links import Address, Hello
from cluster.streams import Streams
from hexhub.storage import Spooled
from hexhub.storage.local import LocalStorage
from hexhub.storage.peers import PeerStorage
from hexhub.storage.spool import Spool

SECRET = b"a secret that is long enough, yes"


class One:
    """One node: its storage, and the folder behind it."""

    def __init__(self, name: str, folder: Path, nodes: dict[str, One]) -> None:
        self.name = name
        self.folder = folder
        self.nodes = nodes
        self.address: Address | None = None
        self.reachable = True
        self.role = "follower"
        self.applied = 0
        self.streams = Streams(
            SECRET,
            hello=self._hello,
            refuses=lambda hello: ("", False),
            resolve=lambda target: nodes[target].address,
            on_raft=lambda link: link.close(),
        )
        self.local = LocalStorage(folder / "storage")
        self.storage = PeerStorage(
            self.local, Spool(folder / "spool"), self.streams, name, self.members
        )

    def _hello(self) -> Hello:
        return Hello(
            cluster="c", member=self.name, name=self.name, version="1", schema=1, address=("h", 1)
        )

    def members(self) -> list[Member]:
        return [
            Member(each.name, each.role, each.reachable, each.applied, 0)
            for each in self.nodes.values()
        ]

    def stop_answering(self) -> None:
        """Nobody listens at its address any more."""
        self.address = ("127.0.0.1", 1)

    def path(self, checksum: bytes) -> Path:
        return self.folder / "storage" / checksum.hex()[:2] / checksum.hex()

    def holds(self, checksum: bytes) -> bool:
        return self.path(checksum).exists()

    async def read(self, checksum: bytes) -> bytes:
        return await (await self.storage.open(checksum)).read()

    def spooled(self, content: bytes) -> Spooled:
        """A body as an upload leaves it."""
        _, name = tempfile.mkstemp(dir=self.folder)
        Path(name).write_bytes(content)
        return Spooled(Path(name), len(content), hashlib.sha256(content).digest())


@asynccontextmanager
async def several(folder: Path, count: int) -> AsyncIterator[list[One]]:
    """Nodes `n1`, `n2`, … that know one another."""
    nodes: dict[str, One] = {}
    for number in range(1, count + 1):
        name = f"n{number}"
        (folder / name).mkdir()
        nodes[name] = One(name, folder / name, nodes)
    for node in nodes.values():
        node.address = await node.streams.listen(("127.0.0.1", 0))
    try:
        yield list(nodes.values())
    finally:
        for node in nodes.values():
            await node.storage.close()
        for node in nodes.values():
            await node.streams.close()
