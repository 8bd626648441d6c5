"""`names` and `versions` as the encoded part of each package, without decoding what is in the parts.

A registry of 20,000 packages is split and joined in milliseconds; entries are passed on unchanged.
"""

from __future__ import annotations

from hexhub.errors import Malformed

_PACKAGES = 0x0A  # field 1, length-delimited: the entries; in an entry, its name
_REPOSITORY = 0x12  # field 2, length-delimited


def split(payload: bytes) -> tuple[str, dict[str, bytes]]:
    """The repository's name, and by package its part of the payload, ready for `registry.join`.

    Raises Malformed. An entry whose name does not come first is not how any encoder writes it.
    """
    chunks: dict[str, bytes] = {}
    repository: str | None = None
    position, end = 0, len(payload)
    try:
        while position < end:
            tag = payload[position]
            size, start = _length(payload, position + 1)
            stop = start + size
            if stop > end:
                raise Malformed("registry resource: an entry is cut")
            if tag == _PACKAGES:
                chunks[_name(payload, start, stop)] = payload[position:stop]
            elif tag == _REPOSITORY:
                repository = payload[start:stop].decode()
            else:
                raise Malformed("registry resource: an unknown field")
            position = stop
    except (IndexError, UnicodeDecodeError):
        raise Malformed("registry resource: not a list of packages") from None
    if repository is None:
        raise Malformed("registry resource: without repository")
    return repository, chunks


def _name(payload: bytes, start: int, stop: int) -> str:
    if payload[start] != _PACKAGES:
        raise Malformed("registry resource: an entry without a name")
    size, start = _length(payload, start + 1)
    if start + size > stop:
        raise Malformed("registry resource: a name is cut")
    return payload[start : start + size].decode()


def _length(data: bytes, position: int) -> tuple[int, int]:
    """A varint and where it ends."""
    byte = data[position]
    if byte < 0x80:
        return byte, position + 1
    value, shift = byte & 0x7F, 7
    while True:
        position += 1
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + 1
        shift += 7
        if shift > 35:
            raise Malformed("registry resource: a length out of range")
