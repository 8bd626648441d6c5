"""Which bytes are a plain and whole request, and what it asks for: the first half of the hot path."""

from __future__ import annotations

import hashlib

import msgspec

HEAD_SIZE_MAX = 2048
LINES_MAX = 24

PLAIN = bytes(range(0x20, 0x7F)) + b"\r\n"
ACCEPTS = frozenset({b"", b"*/*", b"application/json"})
"""Values of Accept that mean the registry everywhere; any other may mean another answer."""

IGNORED_HEADERS = frozenset(
    {
        b"user-agent",
        b"accept-encoding",
        b"accept-language",
        b"te",
        b"pragma",
        b"via",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-real-ip",
    }
)
REQUEST_ID_LENGTHS = range(20, 201)


class Asked(msgspec.Struct, frozen=True):
    """A request that was recognised; `method` is GET or HEAD."""

    method: bytes
    target: bytes
    host: str = ""
    tags: str = ""
    credential: bytes = b""
    forwarded: str = ""
    request_id: str = ""
    agent: bool = False


def recognise(data: bytes) -> Asked | None:
    """What a whole and plain request asks for; None for everything else."""
    if len(data) > HEAD_SIZE_MAX or data.translate(None, PLAIN):
        return None
    if data.find(b"\r\n\r\n") != len(data) - 4:
        return None
    lines = data[:-4].split(b"\r\n")
    if len(lines) > LINES_MAX or not data.count(b"\n") == len(lines) + 1 == data.count(b"\r"):
        return None
    parts = lines[0].split(b" ")
    if len(parts) != 3 or parts[2] != b"HTTP/1.1" or parts[0] not in (b"GET", b"HEAD"):
        return None
    return _asked(parts[0], parts[1], lines[1:])


def _asked(method: bytes, target: bytes, lines: list[bytes]) -> Asked | None:
    """With these headers; None when any is not plain and known."""
    found: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        name = name.lower()
        if not colon or name in found:
            return None
        found[name] = value.strip(b" ")
    request_id = found.get(b"x-request-id", b"")
    if request_id and len(request_id) not in REQUEST_ID_LENGTHS:
        return None
    if not all(name in IGNORED_HEADERS or _harmless(name, found[name]) for name in found):
        return None
    credential = found.get(b"authorization")
    return Asked(
        method=method,
        target=target,
        host=found.get(b"host", b"").decode(),
        tags=found.get(b"if-none-match", b"").decode(),
        credential=digest(credential) if credential is not None else b"",
        forwarded=found.get(b"x-forwarded-for", b"").decode(),
        request_id=request_id.decode(),
        agent=b"user-agent" in found,
    )


def _harmless(name: bytes, value: bytes) -> bool:
    match name:
        case b"accept":
            return value in ACCEPTS
        case b"connection":
            return value.lower() == b"keep-alive"
        case b"content-length":
            return value == b"0"
        case b"host" | b"if-none-match" | b"authorization" | b"x-forwarded-for" | b"x-request-id":
            return True
    return False


def is_whole(data: bytes) -> bool:
    """Whether these bytes are one complete request without a body, and nothing else."""
    if not data.startswith((b"GET ", b"HEAD ")) or not data.endswith(b"\r\n\r\n"):
        return False
    lowered = data.lower()
    return (
        data.find(b"\r\n\r\n") == len(data) - 4
        and b"\ntransfer-encoding" not in lowered
        and b"\nupgrade" not in lowered
        and (b"\ncontent-length" not in lowered or b"\ncontent-length: 0\r\n" in lowered)
    )


def digest(credential: bytes) -> bytes:
    """How a value of `Authorization` is known; the value itself is not kept."""
    return hashlib.sha256(credential).digest()
