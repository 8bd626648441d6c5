"""A process that writes until it is killed: `python -m tests.cluster.writer DIRECTORY [CRASH]`.

Each writer adds rows w/0, w/1, … and counts them in a counter, in one transaction; what was
acknowledged goes to standard output, one line each. CRASH names a place to die at.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster import Node, NodeSettings, Transaction, machine, snapshots
from cluster.disk import Log
from cluster.journal import Journal
from cluster.snapshots import Snapshots
from tests.cluster.tables import Counter, Note, schema

WRITERS = 4


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _around(
    owner: Any, name: str, *, after: bool, skip: int = 0, when: Callable[..., bool] | None = None
) -> None:
    real, calls = getattr(owner, name), 0

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        if when is not None and not when(*args):
            return real(*args, **kwargs)
        calls += 1
        if calls > skip and not after:
            die()
        result = real(*args, **kwargs)
        if calls > skip:
            die()
        return result

    setattr(owner, name, call)


def _is_meta(path: Path, content: bytes) -> bool:
    return path.name == snapshots.META


CRASHES: dict[str, Callable[[], None]] = {
    "before the journal begins": lambda: _around(Journal, "begin", after=False),
    "after the journal begins": lambda: _around(Journal, "begin", after=True),
    "before the first term": lambda: _around(Journal, "setCurrentTerm", after=False),
    "before an entry is durable": lambda: _around(Log, "write", after=False, skip=30),
    "after an entry is durable": lambda: _around(Log, "write", after=True, skip=30),
    "in the middle of an apply": lambda: _around(machine, "mark", after=True, skip=30),
    "before META": lambda: _around(snapshots, "replace_file", after=False, when=_is_meta, skip=1),
    "after META": lambda: _around(snapshots, "replace_file", after=True, when=_is_meta, skip=1),
    "before the copy": lambda: _around(Snapshots, "_take", after=False),
    "before the journal is cut": lambda: _around(Journal, "deleteEntriesTo", after=False),
    "after the journal is cut": lambda: _around(Journal, "deleteEntriesTo", after=True),
}


def add(tx: Transaction, writer: str) -> int:
    counter = tx.get(Counter, writer) or Counter(name=writer)
    tx.put(Note(shelf=writer, title=f"{counter.value:06}"))
    tx.put(Counter(name=writer, value=counter.value + 1))
    return counter.value


async def write(node: Node, writer: str) -> None:
    while True:
        number = await node.store.transact(add, writer)
        os.write(1, f"{writer} {number}\n".encode())


async def main(directory: Path) -> None:
    chosen = NodeSettings(name="n", directory=directory, map_size=64 << 10, snapshot_entries=50)
    node = await Node.open(chosen, schema)
    os.write(1, b"open\n")
    await asyncio.gather(*(write(node, str(at)) for at in range(WRITERS)))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        CRASHES[sys.argv[2]]()
    asyncio.run(main(Path(sys.argv[1])))
