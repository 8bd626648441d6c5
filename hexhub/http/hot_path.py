"""Answers that are sent again without being made again.

The law: this module answers only what it recognises completely, and with the bytes that the
ordinary way would have sent. An answer is learnt from the ordinary way (`learning.py`) together
with the numbers (`hexhub/marks.py`) of all that it was made from, and is sent only while these
stay, before its time is over, and to a caller with a credential only under the lease. A request is
recognised that arrived whole and alone on an idle connection: GET or HEAD, HTTP/1.1, each header
once and from a short list. Everything else, among it pipelined, split and odd requests, those with
a body or a range, goes the ordinary way untouched.

The main process and the readers (`reader.py`) share these lines. Nothing here may import aiohttp
or the tables: readers are small.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

from hexhub.http.recognition import Asked, recognise
from hexhub.http.tallies import Tallies
from hexhub.http.wire import Body as Body
from hexhub.marks import Marks, Stamp

if TYPE_CHECKING:
    from hexhub.http.gate import Gate

BYTES_MAX = 64 * 1024 * 1024
OVERHEAD = 1024
"""What an answer takes beside its body, about."""
RECOGNISED_MAX = 4096

Key: TypeAlias = tuple[bytes, bytes, bytes]


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """An answer: its head around the request id and the date, and where its body is.

    `kind`: `GET`, `HEAD` or `304`. `credential`: a digest of the header that got this answer, empty
    without one; `public`: any credential gets it. `limited`: counts against the caller's limit of
    requests, which is not done here. `counted`: what one more such answer adds one to. `path`: the
    file of `size` bytes that is the body; empty when the body is in memory. `until`: unix seconds.
    """

    target: bytes
    kind: bytes
    credential: bytes
    public: bool
    stamp: Stamp
    until: float | None
    before_id: bytes
    before_date: bytes
    after_date: bytes
    etag: str
    route: str
    method: str
    status: int
    actor: str | None = None
    limited: bool = False
    counted: tuple[str, ...] = ()
    path: str = ""
    size: int = 0


class Answer:
    """A kept answer with its body."""

    __slots__ = ("body", "kept")

    def __init__(self, kept: Kept, body: Body) -> None:
        self.kept = kept
        self.body = body


class HotAnswers:
    """Answers by path, kind and credential, the oldest given up first."""

    def __init__(
        self,
        marks: Marks,
        *,
        lent: Callable[[], bool],
        now: Callable[[], float] = time.time,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        """`lent`: whether reads with credentials may be answered; `now`: unix seconds."""
        self.marks = marks
        self.now = now
        self._lent = lent
        self._bytes_max = bytes_max
        self._bytes = 0
        self._answers: dict[Key, Answer] = {}

    def keep(self, kept: Kept, body: Body) -> None:
        """Send this from now on, if it still holds."""
        cost = len(body) + OVERHEAD
        if not self.marks.holds(kept.stamp) or cost > self._bytes_max // 8:
            return
        key = (kept.target, kept.kind, kept.credential)
        self._drop(key)
        self._answers[key] = Answer(kept, body)
        self._bytes += cost
        while self._bytes > self._bytes_max:
            self._drop(next(iter(self._answers)))

    def find(self, asked: Asked) -> Answer | None:
        """The answer to a recognised request, if it is known and holds."""
        answer = self._unchanged(asked) if asked.tags else None
        if answer is None:
            answer = self._of(asked, asked.method)
            if answer is None or (asked.tags and listed(asked.tags, answer.kept.etag)):
                return None
        kept = answer.kept
        if not self.marks.holds(kept.stamp) or (
            kept.until is not None and kept.until <= self.now()
        ):
            self._drop((kept.target, kept.kind, kept.credential))
            return None
        if kept.credential and not self._lent():
            return None
        return answer

    def _unchanged(self, asked: Asked) -> Answer | None:
        """The 304 for a GET that names the tag; whoever has the body may never ask for it again."""
        answer = self._of(asked, b"304") if asked.method == b"GET" else None
        return answer if answer is not None and listed(asked.tags, answer.kept.etag) else None

    def _of(self, asked: Asked, kind: bytes) -> Answer | None:
        answer = self._answers.get((asked.target, kind, asked.credential))
        if answer is None and asked.credential:
            answer = self._answers.get((asked.target, kind, b""))
            if answer is not None and not answer.kept.public:
                return None
        return answer

    def _drop(self, key: Key) -> None:
        answer = self._answers.pop(key, None)
        if answer is not None:
            self._bytes -= len(answer.body) + OVERHEAD


class Hit:
    """What is to be sent, and to be told of it afterwards."""

    __slots__ = ("answer", "asked", "began", "head", "ip", "request_id")

    def __init__(
        self, answer: Answer, asked: Asked, head: bytes, ip: str, request_id: str, began: float
    ) -> None:
        self.answer = answer
        self.asked = asked
        self.head = head
        self.ip = ip
        self.request_id = request_id
        self.began = began


class RequestLog(Protocol):
    """Writes the line of a request, when that is wanted."""

    @property
    def wanted(self) -> bool: ...

    def write(self, hit: Hit, seconds: float) -> None: ...


class HotPath:
    """Finds the answer to bytes; counts and logs what was sent as the ordinary way does."""

    def __init__(
        self,
        answers: HotAnswers,
        gate: Callable[[], Gate | None],
        tallies: Tallies,
        count: Callable[[tuple[str, ...]], None],
        log: RequestLog,
        docs_host: str | None = None,
    ) -> None:
        """`gate`: the rules about addresses; None while they are not known.

        `count` hears what was fetched, when that is counted.
        """
        self.closing = False
        self.answered = 0
        self.answers = answers
        self._gate = gate
        self._tallies = tallies
        self._count = count
        self.log = log
        self._docs_host = docs_host.lower() if docs_host else None
        self._recognised: dict[bytes, Asked] = {}
        self._ids: list[str] = []

    def find(self, data: bytes, peer: str) -> Hit | None:
        """The answer to a request that is recognised and known."""
        if self.closing:
            return None
        began = time.monotonic()
        asked = self._recognised.get(data) or self._recognise(data)
        if asked is None:
            return None
        answer = self.answers.find(asked)
        if answer is None:
            return None
        kept, gate = answer.kept, self._gate()
        if gate is None or (kept.limited and not asked.agent):
            return None
        ip = gate.client(peer, asked.forwarded)
        if not gate.admits(ip, limited=kept.limited):
            return None
        request_id = asked.request_id or self._new_id()
        head = b"".join(
            (kept.before_id, request_id.encode(), kept.before_date, _date(), kept.after_date)
        )
        return Hit(answer, asked, head, ip, request_id, began)

    def sent(self, hit: Hit) -> None:
        """Count and log it."""
        seconds = time.monotonic() - hit.began
        kept = hit.answer.kept
        self.answered += 1
        self._tallies.add(kept.route, kept.method, kept.status, seconds)
        if kept.counted:
            self._count(kept.counted)
        if self.log.wanted:
            self.log.write(hit, seconds)

    def _recognise(self, data: bytes) -> Asked | None:
        """A client repeats its head byte for byte, so what it means is worth remembering."""
        asked = recognise(data)
        if asked is None or asked.host.lower() == self._docs_host:
            return None
        if not asked.request_id:
            if len(self._recognised) >= RECOGNISED_MAX:
                self._recognised.clear()
            self._recognised[data] = asked
        return asked

    def _new_id(self) -> str:
        """16 random bytes in hex; asking the system for many at once is cheaper."""
        if not self._ids:
            text = os.urandom(16 * 128).hex()
            self._ids = [text[at : at + 32] for at in range(0, len(text), 32)]
        return self._ids.pop()


def listed(tags: str, etag: str) -> bool:
    """Whether a value of `If-None-Match` names this tag."""
    return tags in (etag, "*") or any(
        tag.strip().removeprefix("W/").strip('"') == etag.strip('"') for tag in tags.split(",")
    )


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_dated: tuple[int, bytes] = (0, b"")


def _date() -> bytes:
    """The value of `Date`, now."""
    global _dated
    second = int(time.time())
    if _dated[0] != second:
        year, month, day, hour, minute, secs, weekday, *_ = time.gmtime(second)
        text = f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year} {hour:02}:{minute:02}:{secs:02} GMT"
        _dated = (second, text.encode())
    return _dated[1]
