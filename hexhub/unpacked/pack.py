"""Pack: many files in one, each compressed by itself where that helps, with an index at the end.

Read without unpacking: an entry is one `pread`. A pack that is deleted stays readable to those who
have it open.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec.msgpack

from hexhub.errors import Malformed

MAGIC = b"hexhub-pack-1\n"
TAIL = 8
_COMPRESSED = "png jpg jpeg gif webp avif ico woff woff2 gz zip epub mp4 webm br zst"
COMPRESSED_SUFFIXES = frozenset(_COMPRESSED.split())
LEVEL = 6


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a pack: where it lies, its own size, and the ETag of its bytes (quoted)."""

    path: str
    offset: int
    stored: int
    size: int
    gzipped: bool
    etag: str


class Pack:
    """An open pack."""

    def __init__(self, descriptor: int, entries: dict[str, Entry]) -> None:
        self._descriptor = descriptor
        self.entries = entries

    def __del__(self) -> None:
        os.close(self._descriptor)

    @classmethod
    def open(cls, path: Path) -> Pack:
        """Open a pack. Raises OSError, Malformed."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return cls(descriptor, _index(descriptor))
        except BaseException:
            os.close(descriptor)
            raise

    @classmethod
    def write(cls, path: Path, files: Iterable[tuple[str, bytes]]) -> Pack:
        """Write a pack whole or not at all. Raises what `files` raises, and OSError."""
        partial = path.with_suffix(f".{os.urandom(6).hex()}.partial")
        try:
            with partial.open("wb") as file:
                file.write(MAGIC)
                rows = []
                for name, content in files:
                    stored, gzipped = _stored(name, content)
                    digest = hashlib.sha256(content).hexdigest()[:32]
                    rows.append((name, file.tell(), len(stored), len(content), gzipped, digest))
                    file.write(stored)
                start = file.tell()
                file.write(msgspec.msgpack.encode(rows) + start.to_bytes(TAIL, "big"))
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return cls.open(path)

    def read(self, entry: Entry) -> bytes:
        """The bytes of a file."""
        data = self.stored(entry)
        return zlib.decompress(data, wbits=31) if entry.gzipped else data

    def stored(self, entry: Entry) -> bytes:
        """The bytes as they lie there: a gzip stream when `entry.gzipped`."""
        return os.pread(self._descriptor, entry.stored, entry.offset)


def _stored(name: str, content: bytes) -> tuple[bytes, bool]:
    if name.rpartition(".")[2].lower() in COMPRESSED_SUFFIXES or len(content) < 256:
        return content, False
    smaller = gzip.compress(content, LEVEL, mtime=0)
    return (smaller, True) if len(smaller) < len(content) * 0.9 else (content, False)


def _index(descriptor: int) -> dict[str, Entry]:
    size = os.fstat(descriptor).st_size
    try:
        if os.pread(descriptor, len(MAGIC), 0) != MAGIC:
            raise Malformed("not a pack")
        start = int.from_bytes(os.pread(descriptor, TAIL, size - TAIL), "big")
        rows = msgspec.msgpack.decode(os.pread(descriptor, size - TAIL - start, start))
        return {
            path: Entry(path, offset, stored, length, gzipped, f'"{digest}"')
            for path, offset, stored, length, gzipped, digest in rows
        }
    except (OSError, ValueError, TypeError, IndexError, msgspec.DecodeError) as error:
        raise Malformed("a pack that was cut short") from error
