"""Bodies of requests: parsed ones, and uploads that are streamed to disk (http-api.md §1.3, §1.8)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import parse_qsl

import msgspec
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import BaseRequest, RequestKey, RequestPayloadError

from hexhub.errors import (
    BadRequest,
    Invalid,
    LengthRequired,
    Malformed,
    TimedOut,
    TooLarge,
    Unavailable,
)
from hexhub.formats import erlang_external
from hexhub.http.call import Call
from hexhub.storage import Spooled

PARSED_SIZE_MAX = 8_000_000
FORM_SIZE_MAX = 1_000_000
UPLOAD_SIZE_MAX = 20 * 1024 * 1024
ANNOUNCED_SIZE_MAX = 16 * 1024 * 1024
IN_MEMORY_MAX = 256 * 1024
"""Uploads up to this size are never in a spooled file: most packages are smaller."""
STALL_S = 10.0
BODY_S = 600.0
"""Longest time for a whole body, so that one byte every nine seconds does not hold a slot."""
FORM_FIELDS_MAX = 1000
HELD_FREE = 64 * 1024
HELD_MAX = 192 * 1024 * 1024
"""Bytes of all parsed bodies together that are on their way, but for the first of each.

They are read before anybody knows who sends them.
"""
CONTINUED = RequestKey("continued", bool)


def kind(request: BaseRequest) -> str | None:
    """`json`, `erlang`, `form`, or None for a body that is not parsed."""
    media = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media == "application/vnd.hex+erlang":
        return "erlang"
    if media == "application/json" or (
        media.startswith("application/") and media.endswith("+json")
    ):
        return "json"
    return "form" if media == "application/x-www-form-urlencoded" else None


async def parse(request: BaseRequest) -> Mapping[str, object]:
    """The fields of a parsed body; empty for every other body, which stays unread.

    Raises BadRequest, TooLarge, TimedOut.
    """
    of = kind(request)
    if of is None or not request.body_exists:
        return {}
    await send_continue(request)
    data = await _read(request, FORM_SIZE_MAX if of == "form" else PARSED_SIZE_MAX)
    if not data:
        return {}
    if of == "form":
        return _form(data)
    value = _decode(data, of)
    return value if isinstance(value, dict) else {}


def _decode(data: bytes, of: str) -> object:
    try:
        if of == "erlang":
            return erlang_external.decode(data)
        return msgspec.json.decode(data)
    except (Malformed, msgspec.DecodeError, RecursionError, ValueError):
        raise BadRequest("Bad request") from None


def _form(data: bytes) -> dict[str, object]:
    try:
        pairs = parse_qsl(
            data.decode(), keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS_MAX
        )
    except ValueError:
        raise BadRequest("Bad request") from None
    return dict(pairs)


class Held:
    """Memory for bodies on their way, shared by all of them."""

    def __init__(self) -> None:
        self.bytes = 0

    @contextmanager
    def body(self) -> Iterator[Callable[[int], None]]:
        """What a body tells its size so far. Raises Unavailable when all together are too much."""
        mine = 0

        def grown(size: int) -> None:
            nonlocal mine
            more = max(0, size - HELD_FREE) - mine
            if more > 0 and self.bytes + more > HELD_MAX:
                raise Unavailable("too many large requests at once")
            mine += more
            self.bytes += more

        try:
            yield grown
        finally:
            self.bytes -= mine


held = Held()


async def _read(request: BaseRequest, size_max: int) -> bytes:
    if (request.content_length or 0) > size_max:
        raise TooLarge
    data = bytearray()
    with held.body() as grown:
        async for chunk in _chunks(request):
            data += chunk
            if len(data) > size_max:
                raise TooLarge
            grown(len(data))
        return bytes(data)


async def _chunks(request: BaseRequest) -> AsyncIterator[bytes]:
    """The raw body; each wait is bounded, and so is the whole."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + BODY_S
    try:
        while True:
            # Around the wait alone: a timer that ran on while the caller works would cancel that.
            async with asyncio.timeout_at(min(deadline, loop.time() + STALL_S)):
                chunk = await request.content.readany()
            if not chunk:
                return
            yield chunk
    except TimeoutError:
        raise TimedOut from None
    except (HttpProcessingError, RequestPayloadError):
        raise BadRequest("Bad request") from None


def expects_continue(request: BaseRequest) -> bool:
    """Whether the client waits to be told to send its body (exactly this value)."""
    return request.headers.get("Expect") == "100-continue"


async def send_continue(request: BaseRequest) -> None:
    """Tell a client that waits for it to send its body."""
    if expects_continue(request) and request.transport is not None:
        request[CONTINUED] = True
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def never_comes(request: BaseRequest) -> bool:
    """Whether the client holds back a body because it was not told to send it."""
    return expects_continue(request) and request.body_exists and CONTINUED not in request


@asynccontextmanager
async def upload(call: Call) -> AsyncIterator[Spooled]:
    """The raw body of an upload, in memory or on disk, and hashed.

    Only to be entered once the caller is known to be allowed: this is what sends `100 Continue`.
    Too much is a validation error and not a 413, which rebar3_hex prints as success (§6.1).
    """
    request = call.request
    if expects_continue(request):
        if request.content_length is None:
            raise LengthRequired
        if request.content_length > ANNOUNCED_SIZE_MAX:
            raise Invalid({"tar": "too big"})
    elif (request.content_length or 0) > UPLOAD_SIZE_MAX:
        raise Invalid({"tar": "too big"})
    await send_continue(request)
    try:
        sender = call.actor.name or call.ip
        async with call.hub.spool.take(
            _chunks(request), UPLOAD_SIZE_MAX, in_memory=IN_MEMORY_MAX, sender=sender
        ) as spooled:
            yield spooled
    except TooLarge:
        raise Invalid({"tar": "too big"}) from None
