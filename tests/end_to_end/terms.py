"""Erlang's external term format as clients write and read it (http-api.md §1.4, §1.5)."""

from __future__ import annotations

import struct
from typing import TypeAlias

Term: TypeAlias = "bool | int | float | str | list[Term] | dict[str, Term] | None"
_ATOMS: dict[str, Term] = {"nil": None, "true": True, "false": False}


def encode(term: Term) -> bytes:
    """A request body: binaries for text, atoms only for nil, true and false."""
    return b"\x83" + _encode(term)


def decode(body: bytes) -> Term:
    """An answer's body; any tag or atom outside http-api.md §1.4 is an AssertionError."""
    assert body[:1] == b"\x83", f"not an external term: {body[:40]!r}"
    term, end = _decode(body, 1)
    assert end == len(body), "bytes behind the term"
    return term


def _encode(term: Term) -> bytes:
    match term:
        case None | True | False:
            name = {None: b"nil", True: b"true", False: b"false"}[term]
            return b"\x64" + struct.pack(">H", len(name)) + name
        case int():
            return bytes((97, term)) if 0 <= term < 256 else b"\x62" + struct.pack(">i", term)
        case float():
            return b"\x46" + struct.pack(">d", term)
        case str():
            text = term.encode()
            return b"\x6d" + struct.pack(">I", len(text)) + text
        case list():
            if not term:
                return b"\x6a"
            items = b"".join(_encode(each) for each in term)
            return b"\x6c" + struct.pack(">I", len(term)) + items + b"\x6a"
        case dict():
            pairs = b"".join(_encode(key) + _encode(value) for key, value in term.items())
            return b"\x74" + struct.pack(">I", len(term)) + pairs


def _decode(body: bytes, at: int) -> tuple[Term, int]:
    tag, at = body[at], at + 1
    match tag:
        case 97:
            return body[at], at + 1
        case 98:
            return struct.unpack_from(">i", body, at)[0], at + 4
        case 70:
            return struct.unpack_from(">d", body, at)[0], at + 8
        case 100 | 119:
            width = 2 if tag == 100 else 1
            start = at + width
            end = start + int.from_bytes(body[at:start])
            name = body[start:end].decode()
            assert name in _ATOMS, f"an atom that makes clients fail: {name}"
            return _ATOMS[name], end
        case 109:
            end = at + 4 + int.from_bytes(body[at : at + 4])
            return body[at + 4 : end].decode(), end
        case 110:
            count, sign = body[at], body[at + 1]
            end = at + 2 + count
            value = int.from_bytes(body[at + 2 : end], "little")
            return (-value if sign else value), end
        case 106:
            return [], at
        case 108:
            return _decode_list(body, at)
        case 116:
            return _decode_map(body, at)
    raise AssertionError(f"a tag that no answer may hold: {tag}")


def _decode_list(body: bytes, at: int) -> tuple[Term, int]:
    items: list[Term] = []
    count, at = int.from_bytes(body[at : at + 4]), at + 4
    for _ in range(count):
        item, at = _decode(body, at)
        items.append(item)
    assert body[at] == 106, "an improper list"
    return items, at + 1


def _decode_map(body: bytes, at: int) -> tuple[Term, int]:
    pairs: dict[str, Term] = {}
    count, at = int.from_bytes(body[at : at + 4]), at + 4
    for _ in range(count):
        key, at = _decode(body, at)
        assert isinstance(key, str), f"a key that is no text: {key!r}"
        pairs[key], at = _decode(body, at)
    return pairs, at
