"""Decompress one gzip member as a stream, never more of it in memory than a chunk."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from hexhub.errors import Malformed

CHUNK_SIZE = 65_536  # bytes
GZIP = 31  # zlib's window bits for one gzip member


def inflate(
    pieces: Iterable[bytes | memoryview], *, size_max: int, too_big: str
) -> Iterator[bytes]:
    """The decompressed bytes in chunks of at most CHUNK_SIZE; the input must be exactly one gzip member.

    Raises Malformed with the text `too_big` when more than `size_max` bytes come out, and with a text of
    its own when the stream is no gzip, is cut, fails its CRC or has bytes behind it.
    """
    stream = zlib.decompressobj(GZIP)
    size = 0
    for piece in pieces:
        for start in range(0, len(piece), CHUNK_SIZE):
            data: bytes | memoryview = piece[start : start + CHUNK_SIZE]
            if stream.eof:
                raise Malformed("bytes after the gzip member")
            while data or not stream.eof:
                chunk = _decompress(stream, data)
                size += len(chunk)
                if size > size_max:
                    raise Malformed(too_big)
                if chunk:
                    yield chunk
                if stream.unused_data:
                    raise Malformed("bytes after the gzip member")
                data = stream.unconsumed_tail
                # A full chunk may have left output inside the decompressor.
                if not data and len(chunk) < CHUNK_SIZE:
                    break
    if not stream.eof:
        raise Malformed("the gzip stream is cut")


def _decompress(stream: zlib._Decompress, data: bytes | memoryview) -> bytes:
    try:
        return stream.decompress(data, CHUNK_SIZE)
    except zlib.error:
        raise Malformed("not gzip, or damaged") from None
