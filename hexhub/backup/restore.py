"""Restore a backup into an empty data directory, offline. Until the last rename nothing counts.

A restore that was cut off leaves `restoring/` in the data directory: a node refuses to start beside
it, and the next restore begins anew. Objects are put first, the tables are moved into place last;
cut off after that, it is whole, and the next start takes away what is left of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster import Node, NodeSettings, restore as restore_tables
from hexhub import __version__
from hexhub.backup import OBJECTS, TABLES, Header, NotWhole, read
from hexhub.domain import rewrapping, settings
from hexhub.schema import schema
from hexhub.storage import Spooled, Storage
from hexhub.storage.local import sync_folder

RESTORING = "restoring"
CLUSTER = "cluster"


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a backup goes. `root` is the root secret that the new node will have."""

    data_dir: Path
    node: str
    storage: Storage
    root: bytes


def unfinished(data_dir: Path) -> bool:
    """Whether a restore into this directory was cut off. What one that was not left is taken away."""
    made = data_dir / RESTORING
    if made.exists() and _has_tables(data_dir):
        shutil.rmtree(made)
    return made.exists()


def check_empty(data_dir: Path) -> None:
    """Raises NotWhole when there are tables already."""
    if _has_tables(data_dir):
        raise NotWhole(
            f"{data_dir} already holds a hub: restore into an empty DATA_DIR, or move it away first"
        )


def begin(data_dir: Path) -> Path:
    """Mark that a restore is under way: no node starts here until it is done. Raises NotWhole."""
    check_empty(data_dir)
    made = data_dir / RESTORING
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True, mode=0o700)
    sync_folder(data_dir)
    return made


def _has_tables(data_dir: Path) -> bool:
    folder = data_dir / CLUSTER
    return folder.exists() and any(folder.iterdir())


async def restore(
    path: Path, header: Header, old: bytes, target: Target, progress: Callable[[int], None]
) -> read.Checked:
    """Bring a backup that was verified into the target. `old` is the root that opens its keys.

    `progress` is told the bytes of each member. Raises NotWhole, ClusterError, StorageFull.
    """
    read.prove(header, old)
    made = begin(target.data_dir)
    checked = await _unpack(path, made, target.storage, progress)
    await asyncio.to_thread(
        restore_tables, made / CLUSTER, made / TABLES.rstrip("/"), name=target.node
    )
    await _own(made / CLUSTER, target, header, old)
    with contextlib.suppress(FileNotFoundError):
        (target.data_dir / CLUSTER).rmdir()
    (made / CLUSTER).rename(target.data_dir / CLUSTER)
    sync_folder(target.data_dir)
    shutil.rmtree(made)
    sync_folder(target.data_dir)
    return checked


async def _unpack(
    path: Path, made: Path, storage: Storage, progress: Callable[[int], None]
) -> read.Checked:
    loop = asyncio.get_running_loop()
    (made / TABLES).mkdir()

    def take(name: str, pieces: Iterator[bytes]) -> None:
        if name.startswith(TABLES):
            progress(_write(made / name, pieces).size)
            return
        spooled = _write(made / "object", pieces)
        if spooled.checksum.hex() != name.removeprefix(OBJECTS):
            raise NotWhole(f"{path}: {name} does not have its checksum")
        asyncio.run_coroutine_threadsafe(storage.keep(spooled), loop).result()
        progress(spooled.size)

    return await asyncio.to_thread(read.walk, path, take)


def _write(path: Path, pieces: Iterator[bytes]) -> Spooled:
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
            file.write(piece)
    return Spooled(path, size, digest.digest())


async def _own(folder: Path, target: Target, header: Header, old: bytes) -> None:
    """Open the restored tables once: they are those of the header, and open with the new root."""
    node = await Node.open(
        NodeSettings(name=target.node, directory=folder, version=__version__), schema
    )
    try:
        with node.store.view() as view:
            found = settings.get(view, settings.SIGNING_KEY)
        if found != header.keys[settings.SIGNING_KEY]:
            raise NotWhole("the tables hold another signing key than the header of the backup")
        if old != target.root:
            await node.store.transact(
                rewrapping.rewrap, old, target.root, lambda: secrets.token_bytes(12)
            )
    finally:
        await node.close()
