"""Read a tar (ustar, PAX, GNU) as a stream: one header at a time, data in chunks, every size bounded.

Stricter than tar itself (tarball.md §10): what tools read differently is refused, such as sparse files, global
PAX records, a PAX size, links to other entries, devices, or anything but zeros behind the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from hexhub.errors import Malformed
from hexhub.formats.quoted import quoted

BLOCK = 512  # bytes
LONG_HEADER_SIZE_MAX = 16_384  # bytes of a PAX header or a GNU long name
EXTENDED_HEADERS_MAX = 3  # before one entry: PAX records, a long name, a long target

Kind: TypeAlias = Literal["regular", "directory", "symlink"]

_ZEROS = bytes(BLOCK)
_OCTAL = re.compile(rb" *([0-7]*)[ \0]*")
_KINDS: dict[bytes, Kind] = {b"0": "regular", b"\0": "regular", b"5": "directory", b"2": "symlink"}
_REFUSED = {
    b"1": "a hard link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a FIFO",
    b"7": "a contiguous file",
    b"S": "a sparse file",
    b"g": "a global PAX header",
}


@dataclass(frozen=True, slots=True)
class Header:
    """What a tar says of one entry, its name as written. `mode` is the twelve permission bits.

    `extended` tells that a PAX header or a GNU long name came before it.
    """

    name: str
    kind: Kind
    size: int
    mode: int
    target: str = ""
    extended: bool = False


def read_tar(
    pieces: Iterable[bytes | memoryview],
) -> Iterator[tuple[Header, Iterator[bytes | memoryview]]]:
    """The entries of a complete tar, each with its data in pieces. Raises Malformed.

    Data is read while its entry is current; what is left of it is skipped when the next entry is asked for.
    Pieces of data are slices of the given ones: nothing is gathered but headers.
    """
    blocks = _Blocks(pieces)
    while (header := _next_header(blocks)) is not None:
        data = blocks.data(header.size)
        yield header, data
        for _ in data:
            pass
        blocks.skip(-header.size % BLOCK)
    _check_end(blocks)


class _Blocks:
    """A position in a sequence of pieces."""

    def __init__(self, pieces: Iterable[bytes | memoryview]) -> None:
        self._pieces = iter(pieces)
        self._piece = memoryview(b"")

    def block(self) -> bytes:
        """The next block; shorter, or empty, only at the end."""
        return b"".join(self._upto(BLOCK))

    def data(self, size: int) -> Iterator[bytes | memoryview]:
        """The next `size` bytes, in pieces."""
        left = size
        for piece in self._upto(size):
            left -= len(piece)
            yield piece
        if left:
            raise Malformed("unexpected end of file")

    def skip(self, size: int) -> None:
        """Pass over `size` bytes."""
        for _ in self.data(size):
            pass

    def rest(self) -> Iterator[memoryview]:
        """Everything that is left."""
        yield self._piece
        for piece in self._pieces:
            yield memoryview(piece)

    def _upto(self, size: int) -> Iterator[memoryview]:
        while size:
            if not self._piece:
                piece = next(self._pieces, None)
                if piece is None:
                    return
                self._piece = memoryview(piece)
                continue
            part, self._piece = self._piece[:size], self._piece[size:]
            size -= len(part)
            yield part


def _next_header(blocks: _Blocks) -> Header | None:
    """The header of the next entry with what its extended headers say, or None at the first zero block."""
    names: dict[str, str] = {}
    for _ in range(EXTENDED_HEADERS_MAX + 1):
        block = blocks.block()
        if block == _ZEROS and not names:
            return None
        if len(block) < BLOCK or block == _ZEROS:
            raise Malformed("unexpected end of file")
        _check_sum(block)
        flag = block[156:157]
        if flag not in (b"x", b"L", b"K"):
            return _header(block, flag, names)
        size = _number(block[124:136], "size")
        if size > LONG_HEADER_SIZE_MAX:
            raise Malformed("an extended header is too long")
        data = b"".join(blocks.data(size))
        blocks.skip(-size % BLOCK)
        said = (
            _pax(data) if flag == b"x" else _long_name(data, "path" if flag == b"L" else "linkpath")
        )
        if names.keys() & said.keys():
            raise Malformed("two extended headers for one entry")
        # Even a header that says nothing of interest belongs to the entry that must follow.
        names.update(said, extended="")
    raise Malformed("too many extended headers for one entry")


def _header(block: bytes, flag: bytes, names: dict[str, str]) -> Header:
    name = names.get("path") or _name(block)
    if flag not in _KINDS:
        what = _REFUSED.get(flag, f"an entry of unknown type {flag!r}"[:60])
        raise Malformed(f"{quoted(name)} is {what}")
    kind = _KINDS[flag]
    if kind == "regular" and name.endswith("/") and block[257:262] != b"ustar":
        kind = "directory"  # as written before directories had a type
    size = _number(block[124:136], "size")
    if kind != "regular" and size:
        raise Malformed(f"{quoted(name)} is a {kind} with data")
    if names.get("size", str(size)) != str(size):
        raise Malformed(f"{quoted(name)} has two sizes")
    target = ""
    if kind == "symlink":
        target = names.get("linkpath") or _text(block[157:257])
    mode = _number(block[100:108], "mode") & 0o7777
    return Header(name, kind, size, mode, target, bool(names))


def _name(block: bytes) -> str:
    name = _text(block[:100])
    # The prefix is only a name in the POSIX dialect; GNU keeps other fields there.
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    try:
        return field.partition(b"\0")[0].decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("a name is not UTF-8") from None


def _number(field: bytes, what: str) -> int:
    if field[0] & 0x80:  # GNU: binary, for numbers that do not fit in octal digits
        if field[0] != 0x80:
            raise Malformed(f"a negative {what}")
        return int.from_bytes(field[1:], "big")
    match = _OCTAL.fullmatch(field)
    if match is None:
        raise Malformed(f"a {what} that is not a number")
    return int(match[1] or b"0", 8)


def _check_sum(block: bytes) -> None:
    match = _OCTAL.fullmatch(block[148:156])
    # The sum is taken with blanks in its own field.
    if not match or int(match[1] or b"0", 8) != sum(block) - sum(block[148:156]) + 8 * 32:
        raise Malformed("not a tar: a header with a wrong checksum")


def _pax(data: bytes) -> dict[str, str]:
    """The records of a PAX header that matter here: path, linkpath and size."""
    said: dict[str, str] = {}
    seen: set[bytes] = set()
    position = 0
    while position < len(data):
        digits, _, _ = data[position : position + 8].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        record = data[position + len(digits) + 1 : position + length]
        key, equals, value = record.partition(b"=")
        if not equals or not record.endswith(b"\n") or position + length > len(data):
            raise Malformed("a malformed PAX record")
        if key in seen or key.startswith(b"GNU.sparse"):
            raise Malformed(f"a PAX record twice, or of a sparse file: {key[:40]!r}")
        seen.add(key)
        if key in (b"path", b"linkpath", b"size"):
            said[key.decode()] = _long_text(value[:-1])
        position += length
    return said


def _long_name(data: bytes, key: str) -> dict[str, str]:
    return {key: _long_text(data.removesuffix(b"\0"))}


def _long_text(data: bytes) -> str:
    if not data or b"\0" in data:
        raise Malformed("a long name that is empty or holds a NUL")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("a name is not UTF-8") from None


def _check_end(blocks: _Blocks) -> None:
    for piece in blocks.rest():
        if bytes(piece).strip(b"\0"):
            raise Malformed("bytes after the end of the archive")
