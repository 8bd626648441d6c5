"""Answers that are sent again without being made again.

The law: this module answers only what it recognises completely, and with the bytes that the
ordinary way would have sent. It learns an answer from the ordinary way (`remember`), tied to the
package that it is about, and forgets it when a row of that package changes, before the transaction
that changed it returns. It recognises a request that arrived whole and alone on an idle connection:
GET or HEAD, HTTP/1.1, a path it knows, each header once and from a short list. Everything else,
among it pipelined, split and odd requests, those with a body, a range or a credential, goes the
ordinary way untouched.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp.helpers import rfc822_formatted_time
from aiohttp.web import BaseRequest, Response, StreamResponse

from hexhub.http import responses
from hexhub.repositories.topics import State, Topic, Topics

ENTRIES_MAX = 20_000
HEAD_SIZE_MAX = 2048
LINES_MAX = 24

PLAIN = bytes(range(0x20, 0x7F)) + b"\r\n"
ACCEPTS = frozenset({b"", b"*/*", b"application/json"})
"""Values of Accept that mean the registry everywhere; any other may mean another answer."""

IGNORED_HEADERS = frozenset(
    {b"user-agent", b"accept-encoding", b"accept-language", b"te", b"pragma"}
)


@dataclass(frozen=True, slots=True)
class Ticket:
    """The promise that an answer about a topic was made after this moment."""

    topic: Topic
    state: State
    until: float | None
    on_hit: Callable[[], None] | None


@dataclass(frozen=True, slots=True)
class Kept:
    """The head of an answer around its request id and its date, and the body."""

    topic: Topic
    before_id: bytes
    before_date: bytes
    after_date: bytes
    body: bytes
    etag: str
    until: float | None
    route: str
    status: int
    observe: Callable[[float], None]
    on_hit: Callable[[], None] | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was recognised; `method` is GET or HEAD."""

    method: bytes
    target: bytes
    host: str
    tags: str


class HotAnswers:
    """Answers by path and kind of request: `GET`, `HEAD`, or `304`."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._kept: dict[tuple[bytes, bytes], Kept] = {}
        self._about: dict[Topic, set[tuple[bytes, bytes]]] = {}
        topics.watch(self._changed)

    def ticket(
        self,
        topic: Topic,
        *,
        for_s: float | None = None,
        on_hit: Callable[[], None] | None = None,
    ) -> Ticket:
        """To be taken before an answer is made; `for_s` bounds how long it stays true."""
        until = None if for_s is None else time.monotonic() + for_s
        return Ticket(topic, self._topics.state(topic), until, on_hit)

    def remember(
        self,
        ticket: Ticket,
        request: BaseRequest,
        response: StreamResponse,
        route: str,
        observe: Callable[[float], None],
    ) -> None:
        """Keep an answer that was sent, if it is one that may be sent again."""
        kind = _kind(request, response)
        if kind is None or self._topics.state(ticket.topic) != ticket.state:
            return
        assert isinstance(response, Response)
        key = (request.raw_path.encode(), kind)
        body = response.body if kind == b"GET" else b""
        if not isinstance(body, bytes) or len(self._kept) >= ENTRIES_MAX:
            return
        before_id, before_date, after_date = _head(response)
        self._kept[key] = Kept(
            topic=ticket.topic,
            before_id=before_id,
            before_date=before_date,
            after_date=after_date,
            body=body,
            etag=response.headers.get("ETag", ""),
            until=ticket.until,
            route=route,
            status=response.status,
            observe=observe,
            on_hit=ticket.on_hit if kind != b"HEAD" else None,
        )
        self._about.setdefault(ticket.topic, set()).add(key)

    def find(self, asked: Asked) -> Kept | None:
        """The answer to a recognised request, if it is known."""
        kept = self._kept.get((asked.target, asked.method))
        if kept is not None and asked.tags and responses.listed(asked.tags, kept.etag):
            kept = self._kept.get((asked.target, b"304")) if asked.method == b"GET" else None
        if kept is not None and kept.until is not None and kept.until < time.monotonic():
            self._drop(kept.topic)
            return None
        return kept

    def _changed(self, topic: Topic | None) -> None:
        if topic is None:
            self._kept.clear()
            self._about.clear()
        else:
            self._drop(topic)

    def _drop(self, topic: Topic) -> None:
        for key in self._about.pop(topic, ()):
            self._kept.pop(key, None)


def _kind(request: BaseRequest, response: StreamResponse) -> bytes | None:
    if not isinstance(response, Response) or "Connection" in response.headers:
        return None
    if request.headers.get("Accept", "").encode() not in ACCEPTS or "Range" in request.headers:
        return None
    if response.status == 304 and request.method == "GET":
        return b"304"
    if response.status != 200:
        return None
    return {"GET": b"GET", "HEAD": b"HEAD"}.get(request.method)


def _head(response: Response) -> tuple[bytes, bytes, bytes]:
    """The head as it was sent, cut at the request id and at the date, which are new each time."""
    lines = [f"HTTP/1.1 {response.status} {response.reason}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    head = "\r\n".join(lines) + "\r\n\r\n"
    before, request_id, rest = head.partition(response.headers["X-Request-Id"])
    middle, date, after = rest.partition(response.headers["Date"])
    assert request_id
    assert date
    return before.encode(), middle.encode(), after.encode()


def recognise(data: bytes) -> Asked | None:
    """What a whole and plain request asks for; None for everything else."""
    if len(data) > HEAD_SIZE_MAX or data.translate(None, PLAIN):
        return None
    if data.find(b"\r\n\r\n") != len(data) - 4:
        return None
    lines = data[:-4].split(b"\r\n")
    if len(lines) > LINES_MAX or data.count(b"\n") != len(lines) + 1 != data.count(b"\r"):
        return None
    parts = lines[0].split(b" ")
    if len(parts) != 3 or parts[2] != b"HTTP/1.1" or parts[0] not in (b"GET", b"HEAD"):
        return None
    values = _known_headers(lines[1:])
    return None if values is None else Asked(parts[0], parts[1], *values)


def _known_headers(lines: list[bytes]) -> tuple[str, str] | None:
    """Host and If-None-Match, empty without one; None when any header is not plain and known."""
    seen: set[bytes] = set()
    host = tags = b""
    for line in lines:
        name, colon, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" ")
        if not colon or name in seen:
            return None
        seen.add(name)
        if name == b"if-none-match":
            tags = value
        elif name == b"host":
            host = value
        elif name not in IGNORED_HEADERS and not _harmless(name, value):
            return None
    return host.decode(), tags.decode()


def _harmless(name: bytes, value: bytes) -> bool:
    match name:
        case b"accept":
            return value in ACCEPTS
        case b"connection":
            return value.lower() == b"keep-alive"
        case b"content-length":
            return value == b"0"
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


def compose(kept: Kept, request_id: str) -> bytes:
    """The bytes of an answer, with the date of now."""
    return b"".join(
        (
            kept.before_id,
            request_id.encode(),
            kept.before_date,
            rfc822_formatted_time().encode(),
            kept.after_date,
            kept.body,
        )
    )
