"""Write a backup of a running node as a stream: flat memory, whatever there is to keep."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import tarfile
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from cluster import Node
from hexhub import __version__
from hexhub.backup import (
    FORMAT,
    HEADER,
    MANIFEST,
    OBJECTS,
    SECRET,
    TABLES,
    Header,
    Manifest,
    Member,
    secret as locked,
)
from hexhub.domain import objects, settings
from hexhub.errors import HubError
from hexhub.schema import schema
from hexhub.storage import Storage

CHUNK = 1 << 20
GZIP = 31
"""zlib's word for a gzip stream."""
TABLES_LEVEL, OBJECTS_LEVEL = 1, 0
"""Objects are compressed already: doing it again would only cost time."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is backed up. `root` is the hub's root secret."""

    node: Node
    storage: Storage
    root: bytes
    fingerprint: str
    now: Callable[[], datetime]


async def stream(
    source: Source, *, passphrase: str | None, tables_only: bool = False
) -> AsyncIterator[bytes]:
    """The bytes of a backup. Without a passphrase it holds no secret.

    Raises ClusterError when no snapshot could be taken. An object that cannot be read is named in
    the manifest as missing, and the rest is kept all the same.
    """
    writer = _Writer()
    with ExitStack() as opened:
        wanted = set() if tables_only else _pointed_to(source)
        folder = await source.node.snapshot()
        # Opened before anything is awaited: the next snapshot takes the place of this one.
        files = [(path, opened.enter_context(path.open("rb"))) for path in _tables(folder)]
        if not tables_only:
            wanted |= _pointed_to(source)
        header = _header(source, passphrase, tables_only)
        yield await writer.small(HEADER, msgspec.json.encode(header))
        if passphrase is not None:
            nonce, salt = secrets.token_bytes(12), secrets.token_bytes(locked.SALT_SIZE)
            sealed = await asyncio.to_thread(locked.lock, source.root, passphrase, salt, nonce)
            yield await writer.small(SECRET, sealed)
        for path, file in files:
            size = os.fstat(file.fileno()).st_size
            async for piece in writer.member(TABLES + path.name, size, _read(file.fileno(), size)):
                yield piece
    yield writer.change_level(OBJECTS_LEVEL)
    missing: list[str] = []
    for checksum in sorted(wanted):
        try:
            blob = await source.storage.open(checksum)
        except HubError:
            missing.append(checksum.hex())
            continue
        chunks = blob.chunks(0, blob.size)
        async for piece in writer.member(OBJECTS + checksum.hex(), blob.size, chunks):
            yield piece
    manifest = Manifest(members=writer.members, missing=tuple(missing))
    yield await writer.small(MANIFEST, msgspec.json.encode(manifest))
    yield await writer.end()


def _tables(folder: Path) -> list[Path]:
    """META and the one snapshot that it names."""
    meta = folder / "META"
    named = meta.read_bytes()
    return [meta, *(path for path in folder.glob("snap-*.mdb") if path.name.encode() in named)]


def _pointed_to(source: Source) -> set[bytes]:
    with source.node.store.view() as view:
        return set(objects.pointed_to(view))


def _header(source: Source, passphrase: str | None, tables_only: bool) -> Header:
    status = source.node.status()
    with source.node.store.view() as view:
        names = (settings.SIGNING_KEY, settings.HASHING_KEY)
        keys = {name: value for name in names if (value := settings.get(view, name)) is not None}
    return Header(
        format=FORMAT,
        version=__version__,
        created_at=source.now(),
        node=status.node,
        cluster=status.cluster,
        applied=status.applied,
        schema=schema.number,
        fingerprint=source.fingerprint,
        secrets="none" if passphrase is None else "wrapped",
        tables_only=tables_only,
        keys=keys,
    )


async def _read(descriptor: int, size: int) -> AsyncIterator[bytes]:
    start = 0
    while start < size:
        piece = await asyncio.to_thread(os.pread, descriptor, CHUNK, start)
        if not piece:
            raise OSError("a file of the snapshot ended early")
        start += len(piece)
        yield piece


class _Writer:
    """A gzipped tar, piece by piece."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self._gzip = zlib.compressobj(TABLES_LEVEL, zlib.DEFLATED, GZIP)

    def change_level(self, level: int) -> bytes:
        """End one gzip stream and begin another behind it; readers take them as one."""
        ended = self._gzip.flush()
        self._gzip = zlib.compressobj(level, zlib.DEFLATED, GZIP)
        return ended

    async def small(self, name: str, body: bytes) -> bytes:
        async def once() -> AsyncIterator[bytes]:
            yield body

        return b"".join([piece async for piece in self.member(name, len(body), once())])

    async def member(
        self, name: str, size: int, chunks: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o600
        digest, sent = hashlib.sha256(), 0
        yield self._gzip.compress(info.tobuf(tarfile.GNU_FORMAT))
        async for chunk in chunks:
            digest.update(chunk)
            sent += len(chunk)
            yield await asyncio.to_thread(self._gzip.compress, chunk)
        if sent != size:
            raise OSError(f"{name} is not as long as was said")
        yield self._gzip.compress(bytes(-size % tarfile.BLOCKSIZE))
        self.members[name] = Member(size, digest.hexdigest())

    async def end(self) -> bytes:
        return self._gzip.compress(bytes(2 * tarfile.BLOCKSIZE)) + self._gzip.flush()


async def to_file(path: Path, pieces: AsyncIterator[bytes]) -> int:
    """Write a stream to a new file, there under its name only when it is whole; bytes written."""
    part = path.with_name(path.name + ".part")
    size = 0
    try:
        with part.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            async for piece in pieces:
                size += len(piece)
                await asyncio.to_thread(file.write, piece)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    return size
