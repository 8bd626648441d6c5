"""Make tars and package tarballs, right ones and wrong ones, byte by byte."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable

BLOCK = 512
END = bytes(2 * BLOCK)
METADATA = b'{<<"name">>,<<"demo">>}.\n{<<"version">>,<<"1.0.0">>}.\n'


def header(
    name: str | bytes,
    size: int = 0,
    *,
    flag: bytes = b"0",
    mode: int = 0o644,
    target: str = "",
    magic: bytes = b"ustar\x0000",
    fields: dict[int, bytes] | None = None,
) -> bytes:
    """One header; `fields` puts bytes at offsets before the checksum is made."""
    block = bytearray(BLOCK)

    def put(offset: int, data: bytes) -> None:
        block[offset : offset + len(data)] = data

    put(0, name.encode() if isinstance(name, str) else name)
    put(100, b"%07o\0" % mode + b"0000000\0" * 2 + b"%011o\0" % size + b"%011o\0" % 0)
    put(156, flag + target.encode())
    put(257, magic)
    for offset, data in (fields or {}).items():
        put(offset, data)
    put(148, b" " * 8)
    put(148, b"%06o\0 " % sum(block))
    return bytes(block)


def padded(data: bytes) -> bytes:
    """Data filled up with zeros to whole blocks."""
    return data + bytes(-len(data) % BLOCK)


def file(name: str, data: bytes = b"", *, mode: int = 0o644) -> bytes:
    """A regular file."""
    return header(name, len(data), mode=mode) + padded(data)


def directory(name: str) -> bytes:
    """A directory."""
    return header(name, flag=b"5", mode=0o755)


def symlink(name: str, target: str) -> bytes:
    """A symbolic link."""
    return header(name, flag=b"2", mode=0o777, target=target)


def record(key: str, value: str | bytes) -> bytes:
    """One PAX record."""
    data = value.encode() if isinstance(value, str) else value
    body = b" " + key.encode() + b"=" + data + b"\n"
    length = len(body)
    while length != len(str(length)) + len(body):
        length = len(str(length)) + len(body)
    return str(length).encode() + body


def extended(data: bytes, flag: bytes = b"x") -> bytes:
    """A PAX header, or with flag L or K a GNU long name or target."""
    return header("PaxHeader", len(data), flag=flag) + padded(data)


def gzip(pieces: Iterable[bytes]) -> bytes:
    """One gzip member, made in passing."""
    stream = zlib.compressobj(6, zlib.DEFLATED, 31)
    return b"".join([*(stream.compress(piece) for piece in pieces), stream.flush()])


def package(
    entries: bytes = b"",
    *,
    metadata: bytes = METADATA,
    contents: bytes | None = None,
    version: bytes = b"3",
) -> bytes:
    """A package tarball with the given tar entries as contents, or with `contents` as they are."""
    archive = gzip([entries, END]) if contents is None else contents
    checksum = hashlib.sha256(version + metadata + archive).hexdigest().upper().encode()
    return (
        file("VERSION", version)
        + file("CHECKSUM", checksum)
        + file("metadata.config", metadata)
        + file("contents.tar.gz", archive)
        + END
    )


def docs(entries: bytes) -> bytes:
    """A documentation archive: `entries` behind an index page."""
    return gzip([file("index.html", b"<p>"), entries, END])
