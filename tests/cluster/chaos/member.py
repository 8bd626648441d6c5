"""One member as a process, asked over a unix socket: `python -m tests.cluster.chaos.member JSON`.

The argument is what `Settings` says. A question is a line of JSON, `[operation, argument, …]`; the
answer is another: `["ok", value]`, `["no", error]` (not applied) or `["unknown", error]`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from cluster import (
    ClusterError,
    LinkRefused,
    Node,
    NodeSettings,
    OutcomeUnknown,
    Transaction,
)
from cluster.discovery import Fixed, Peer
from tests.cluster.tables import Counter, Note, schema


class Settings(msgspec.Struct, kw_only=True):
    name: str
    directory: str
    bind: tuple[str, int]
    advertise: str = ""
    dials_from: str = ""
    """The address connections to others come from; any when empty."""
    peers: list[tuple[str, str, int]]
    expect: int = 3
    snapshot_entries: int = 100_000
    disk_reserve: int = 0


class Bound(asyncio.SelectorEventLoop):
    """A loop whose connections come from one address."""

    def __init__(self, host: str) -> None:
        super().__init__()
        self._host = host

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        sock.bind((self._host, 0))
        await super().sock_connect(sock, address)


def add(tx: Transaction, counter: str, shelf: str, title: str) -> int:
    """Count, and note who counted: both or neither, and once."""
    before = tx.get(Counter, counter) or Counter(name=counter)
    after = before.value + 1
    tx.put(Counter(name=counter, value=after))
    tx.put(Note(shelf=shelf, title=title, text=str(after)))
    return after


def fill(tx: Transaction, shelf: str, title: str, text: str) -> None:
    tx.put(Note(shelf=shelf, title=title, text=text))


async def answer(node: Node, question: list[Any]) -> Any:
    """What one question comes to."""
    match question:
        case ["add", counter, shelf, title]:
            return await node.store.transact(add, counter, shelf, title)
        case ["fill", shelf, title, size]:
            text = os.urandom(size // 2).hex()
            return await node.store.transact(fill, shelf, title, text)
        case ["revoke", shelf, title]:
            return await node.store.revoke(fill, shelf, title, "")
        case ["lets in", shelf, title]:
            with node.store.view() as view:
                return node.lease_valid() and view.get(Note, shelf, title) is None
        case ["read", counter]:
            await node.store.barrier()
            return value(node, counter)
        case ["local", counter]:
            return value(node, counter)
        case ["audit", counter, shelf]:
            with node.store.view() as view:  # one moment: a write given up may still be on its way
                found = view.get(Counter, counter)
                notes = [(note.title, note.text) for note in view.scan(Note, shelf)]
            return found.value if found else 0, notes
        case ["tail", shelf]:
            with node.store.view() as view:
                last = next(view.scan(Note, shelf, reverse=True), None)
            return [] if last is None else [(last.title, "")]
        case ["status"]:
            return msgspec.to_builtins(node.status())
        case ["lease"]:
            return node.lease_valid()
        case ["load", writers, seconds, size]:
            return await load(node, writers, seconds, size)
        case ["reads", seconds]:
            return await reads(node, seconds)
        case ["memory"]:
            return memory()
        case ["snapshot"]:
            return str(await node.snapshot())
        case ["transfer", name]:
            return await node.transfer(name)
        case ["remove", name]:
            return await node.remove(name)
    raise ValueError(f"no such question: {question}")


async def load(node: Node, writers: int, seconds: float, size: int) -> list[float]:
    """Write from many at once for so long; how long each write took."""
    took: list[float] = []
    text = os.urandom(size // 2).hex()
    end = time.monotonic() + seconds

    async def write(at: int) -> None:
        number = 0
        while (began := time.monotonic()) < end:
            number += 1
            await node.store.transact(fill, f"load {at}", str(number % 1000), text)
            took.append(time.monotonic() - began)

    await asyncio.gather(*(write(at) for at in range(writers)))
    return took


async def reads(node: Node, seconds: float) -> dict[str, float]:
    """Reads a second, as they are and behind a barrier each."""
    found = {}
    for kind in ("plain", "barrier"):
        count, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            if kind == "barrier":
                await node.store.barrier()
            elif count % 1000 == 0:
                await asyncio.sleep(0)
            value(node, "c")
            count += 1
        found[kind] = count / seconds
    return found


def memory() -> dict[str, int]:
    """What this process holds, in bytes: of its own, and at most so far."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(fields[name].split()[0]) << 10 for name in ("RssAnon", "VmHWM")}


def value(node: Node, counter: str) -> int:
    with node.store.view() as view:
        found = view.get(Counter, counter)
        return found.value if found else 0


async def serve(node: Node, path: str) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            try:
                reply = ["ok", await answer(node, msgspec.json.decode(line))]
            except OutcomeUnknown as error:
                reply = ["unknown", str(error)]
            except (ClusterError, LinkRefused) as error:
                reply = ["no", f"{type(error).__name__}: {error}"]
            writer.write(msgspec.json.encode(reply) + b"\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(connected, path, limit=64 << 20)
    async with server:
        await server.serve_forever()


async def main(settings: Settings) -> None:
    node = await Node.open(
        NodeSettings(
            name=settings.name,
            directory=Path(settings.directory),
            secret=b"the secret of the killed",
            bind=settings.bind,
            advertise=settings.advertise,
            expect=settings.expect,
            clustering=True,
            discovery=Fixed(Peer(*peer) for peer in settings.peers),
            disk_reserve=settings.disk_reserve,
            version="1",
            snapshot_entries=settings.snapshot_entries,
        ),
        schema,
    )
    await serve(node, settings.directory + ".sock")


if __name__ == "__main__":
    logging.basicConfig(
        level=logging.INFO,
        format=f"%(asctime)s.%(msecs)03d {os.getpid()} %(name)s %(message)s",
        datefmt="%M:%S",
    )
    chosen = msgspec.json.decode(sys.argv[1], type=Settings)
    loop = partial(Bound, chosen.dials_from) if chosen.dials_from else None
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main(chosen))
