"""Erlang's external term format, as far as the Hex API speaks it (http-api.md §1.4, §1.5)."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from typing import Final

from hexhub.errors import Malformed

DEPTH_MAX = 64
TERMS_MAX = 100_000  # terms in one message, bytes of a STRING_EXT included
BIGNUM_SIZE_MAX = 256  # bytes

VERSION: Final = 131


class Tag:
    """The first byte of a term."""

    NEW_FLOAT = 70
    COMPRESSED = 80
    SMALL_INTEGER = 97
    INTEGER = 98
    FLOAT = 99
    ATOM = 100
    SMALL_TUPLE = 104
    LARGE_TUPLE = 105
    NIL = 106
    STRING = 107
    LIST = 108
    BINARY = 109
    SMALL_BIG = 110
    LARGE_BIG = 111
    SMALL_ATOM = 115
    MAP = 116
    ATOM_UTF8 = 118
    SMALL_ATOM_UTF8 = 119


_ATOMS: Final[dict[str, bool | None]] = {
    "true": True,
    "false": False,
    "nil": None,
    "null": None,
    "undefined": None,
}
_FLOAT_TEXT = re.compile(rb"[+-]?[0-9]{1,3}\.[0-9]{1,25}(?:e[+-]?[0-9]{1,3})?\0*")


def encode(value: object) -> bytes:
    """131 and the term of a JSON-like value: str and bytes are binaries, lists and tuples lists, dicts maps.

    The keys of a dict are str. Raises TypeError for any other type, ValueError for a float that is not
    finite, an integer of more than 255 bytes, or nesting deeper than DEPTH_MAX: all mistakes of the caller.
    """
    out = bytearray([VERSION])
    _write(out, value, 0)
    return bytes(out)


def join(encoded: Sequence[bytes]) -> bytes:
    """131 and the list of terms that `encode` has encoded one by one."""
    out = bytearray([VERSION])
    if encoded:
        out += struct.pack(">BI", Tag.LIST, len(encoded))
        for each in encoded:
            out += memoryview(each)[1:]
    out.append(Tag.NIL)
    return bytes(out)


def decode(data: bytes | memoryview) -> object:
    """The value of one term that fills `data`. Raises Malformed.

    Binaries are str when they are UTF-8, else bytes; lists and STRING_EXT are lists, tuples tuples; maps are
    dicts with str keys, of equal keys the last wins; the atoms nil, null and undefined are None, any other
    than true and false is its text. No term lives longer than the value: nothing is interned.
    """
    return _Reader(memoryview(data)).read()


def _write(out: bytearray, value: object, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise ValueError(f"nested deeper than {DEPTH_MAX}")
    match value:
        case None:
            out += b"\x77\x03nil"
        case True:
            out += b"\x77\x04true"
        case False:
            out += b"\x77\x05false"
        case int():
            _write_integer(out, value)
        case float():
            if not math.isfinite(value):
                raise ValueError("a float must be finite")
            out += struct.pack(">Bd", Tag.NEW_FLOAT, value)
        case str():
            _write_binary(out, value.encode("utf-8"))
        case bytes():
            _write_binary(out, value)
        case list() | tuple():
            if value:
                out += struct.pack(">BI", Tag.LIST, len(value))
                for each in value:
                    _write(out, each, depth + 1)
            out.append(Tag.NIL)
        case dict():
            out += struct.pack(">BI", Tag.MAP, len(value))
            for key, each in value.items():
                if not isinstance(key, str):
                    raise TypeError(f"a key must be str, not {type(key).__name__}")
                _write_binary(out, key.encode("utf-8"))
                _write(out, each, depth + 1)
        case _:
            raise TypeError(f"no term for {type(value).__name__}")


def _write_binary(out: bytearray, data: bytes) -> None:
    out += struct.pack(">BI", Tag.BINARY, len(data))
    out += data


def _write_integer(out: bytearray, value: int) -> None:
    if 0 <= value <= 255:
        out += bytes((Tag.SMALL_INTEGER, value))
    elif -(2**31) <= value < 2**31:
        out += struct.pack(">Bi", Tag.INTEGER, value)
    else:
        digits = abs(value).to_bytes((abs(value).bit_length() + 7) // 8, "little")
        if len(digits) > 255:
            raise ValueError("an integer must fit in 255 bytes")
        out += bytes((Tag.SMALL_BIG, len(digits), value < 0))
        out += digits


class _Reader:
    """A position in the bytes of one message, and how many terms it may still hold."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._position = 0
        self._terms_left = TERMS_MAX

    def read(self) -> object:
        if self._byte() != VERSION:
            raise Malformed("erlang term: the first byte must be 131")
        value = self._term(0)
        if self._position != len(self._data):
            raise Malformed("erlang term: bytes after the term")
        return value

    def _term(self, depth: int) -> object:
        if depth > DEPTH_MAX:
            raise Malformed(f"erlang term: nested deeper than {DEPTH_MAX}")
        self._spend(1)
        tag = self._byte()
        match tag:
            case Tag.SMALL_INTEGER:
                return self._byte()
            case Tag.INTEGER:
                return int.from_bytes(self._take(4), "big", signed=True)
            case Tag.BINARY:
                return _text_or_bytes(self._take(self._number(4)))
            case Tag.ATOM | Tag.SMALL_ATOM | Tag.ATOM_UTF8 | Tag.SMALL_ATOM_UTF8:
                return _atom(self._atom_text(tag))
            case Tag.NIL:
                return []
            case Tag.STRING:
                size = self._number(2)
                self._spend(size)
                return list(self._take(size))
            case Tag.LIST:
                return self._list(depth)
            case Tag.SMALL_TUPLE:
                return self._tuple(self._number(1), depth)
            case Tag.LARGE_TUPLE:
                return self._tuple(self._number(4), depth)
            case Tag.MAP:
                return self._map(depth)
            case Tag.NEW_FLOAT:
                return _finite(float(struct.unpack(">d", self._take(8))[0]))
            case Tag.FLOAT:
                return self._old_float()
            case Tag.SMALL_BIG:
                return self._bignum(self._number(1))
            case Tag.LARGE_BIG:
                return self._bignum(self._number(4))
            case Tag.COMPRESSED:
                raise Malformed("erlang term: compressed terms are not accepted")
            case _:
                raise Malformed(f"erlang term: tag {tag} is not accepted")

    def _list(self, depth: int) -> list[object]:
        items = [self._term(depth + 1) for _ in range(self._count(4, item_size=1))]
        if self._byte() != Tag.NIL:
            raise Malformed("erlang term: an improper list")
        return items

    def _tuple(self, count: int, depth: int) -> tuple[object, ...]:
        self._fits(count)
        return tuple([self._term(depth + 1) for _ in range(count)])

    def _map(self, depth: int) -> dict[str, object]:
        items: dict[str, object] = {}
        for _ in range(self._count(4, item_size=2)):
            key = self._key()
            items[key] = self._term(depth + 1)
        return items

    def _key(self) -> str:
        self._spend(1)
        tag = self._byte()
        if tag in (Tag.ATOM, Tag.SMALL_ATOM, Tag.ATOM_UTF8, Tag.SMALL_ATOM_UTF8):
            return self._atom_text(tag)
        key = _text_or_bytes(self._take(self._number(4))) if tag == Tag.BINARY else None
        if not isinstance(key, str):
            raise Malformed("erlang term: a key of a map must be text")
        return key

    def _atom_text(self, tag: int) -> str:
        size = self._number(1 if tag in (Tag.SMALL_ATOM, Tag.SMALL_ATOM_UTF8) else 2)
        data = bytes(self._take(size))
        try:
            text = data.decode("latin-1" if tag in (Tag.ATOM, Tag.SMALL_ATOM) else "utf-8")
        except UnicodeDecodeError:
            raise Malformed("erlang term: an atom that is not UTF-8") from None
        if len(text) > 255:
            raise Malformed("erlang term: an atom of more than 255 characters")
        return text

    def _old_float(self) -> float:
        text = bytes(self._take(31))
        if _FLOAT_TEXT.fullmatch(text) is None:
            raise Malformed("erlang term: not a float")
        return _finite(float(text.rstrip(b"\0")))

    def _bignum(self, size: int) -> int:
        if size > BIGNUM_SIZE_MAX:
            raise Malformed(f"erlang term: an integer of more than {BIGNUM_SIZE_MAX} bytes")
        sign = self._byte()
        if sign > 1:
            raise Malformed("erlang term: an integer with an unknown sign")
        number = int.from_bytes(self._take(size), "little")
        return -number if sign else number

    def _count(self, width: int, item_size: int) -> int:
        count = self._number(width)
        self._fits(count * item_size)
        return count

    def _fits(self, size: int) -> None:
        # Checked before anything is made for the items: a count alone costs nothing to send.
        if size > len(self._data) - self._position:
            raise Malformed("erlang term: cut short")

    def _spend(self, terms: int) -> None:
        self._terms_left -= terms
        if self._terms_left < 0:
            raise Malformed(f"erlang term: more than {TERMS_MAX} terms")

    def _number(self, width: int) -> int:
        return int.from_bytes(self._take(width), "big")

    def _byte(self) -> int:
        self._fits(1)
        self._position += 1
        return self._data[self._position - 1]

    def _take(self, size: int) -> memoryview:
        self._fits(size)
        self._position += size
        return self._data[self._position - size : self._position]


def _atom(text: str) -> object:
    return _ATOMS.get(text, text)


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise Malformed("erlang term: a float that is not finite")
    return number


def _text_or_bytes(data: memoryview) -> str | bytes:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        return bytes(data)
