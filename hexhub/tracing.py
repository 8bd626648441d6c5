"""Which request this work is done for, also across nodes; and spans, where they are recorded.

What is done for a request carries its id: in this task and those it starts, in what is asked of
peers (`carried`), and there again (`adopted`). Spans cost one comparison when nobody records them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Protocol

CARRIED_MAX = 512
"""Characters of a value that a peer may hand us."""
REQUEST_ID_HEADER, TRACE_HEADER = "x-request-id", "traceparent"
SERVER, CLIENT, INTERNAL = "server", "client", "internal"

_request_id: ContextVar[str] = ContextVar("request_id", default="")
_ID_OF_A_PROGRAM = re.compile(r"[0-9a-fA-F-]{20,64}")


class Recorder(Protocol):
    """Whoever records spans."""

    def span(
        self, name: str, kind: str, carried: Mapping[str, str], attributes: Mapping[str, str | int]
    ) -> AbstractContextManager[object]:
        """A span until the block ends; `carried` may name the one it belongs to."""
        ...

    def note(self, name: str, attributes: Mapping[str, str | int]) -> None:
        """Another name for the span that is open, and more about it."""
        ...

    def carried(self) -> dict[str, str]:
        """What names the open span to others."""
        ...

    def trace_id(self) -> str:
        """The trace of the open span; empty without one."""
        ...


class _Recording:
    by: Recorder | None = None


def record_with(recorder: Recorder | None) -> None:
    """Have spans recorded from here on, or no longer; of a whole process."""
    _Recording.by = recorder


def request_id() -> str:
    """The id of the request that this is done for; empty for work of our own."""
    return _request_id.get()


def trace_id() -> str:
    """The trace that this belongs to; empty when none is recorded."""
    return "" if _Recording.by is None else _Recording.by.trace_id()


def carried() -> dict[str, str]:
    """What to hand to a peer that does a part of the work."""
    found = {} if _Recording.by is None else _Recording.by.carried()
    if given := _request_id.get():
        found[REQUEST_ID_HEADER] = given
    return found


def carried_outside() -> dict[str, str]:
    """As `carried`, for a stranger: an id that a client may have made of words stays here."""
    found = carried()
    if _ID_OF_A_PROGRAM.fullmatch(found.get(REQUEST_ID_HEADER, "")) is None:
        found.pop(REQUEST_ID_HEADER, None)
    return found


def span(
    name: str, kind: str = INTERNAL, attributes: Mapping[str, str | int] | None = None
) -> AbstractContextManager[object]:
    """A part of the work that is worth its own line in a trace."""
    if _Recording.by is None:
        return nullcontext()
    return _Recording.by.span(name, kind, {}, attributes or {})


def note(name: str, attributes: Mapping[str, str | int]) -> None:
    """What the span that is open turned out to be."""
    if _Recording.by is not None:
        _Recording.by.note(name, attributes)


@contextmanager
def request(id: str, headers: Mapping[str, str]) -> Iterator[None]:
    """Work for a client's request, until the block ends."""
    token = _request_id.set(id)
    try:
        if _Recording.by is None:
            yield
        else:
            given = headers.get(TRACE_HEADER)
            known = {TRACE_HEADER: given} if given is not None else {}
            with _Recording.by.span("request", SERVER, known, {}):
                yield
    finally:
        _request_id.reset(token)


@contextmanager
def adopted(given: Mapping[str, str], name: str) -> Iterator[None]:
    """Work for a peer that handed us what it `carried`, until the block ends."""
    known = {key: text for key, text in given.items() if len(text) <= CARRIED_MAX}
    token = _request_id.set(known.get(REQUEST_ID_HEADER, ""))
    try:
        if _Recording.by is None:
            yield
        else:
            with _Recording.by.span(name, SERVER, known, {}):
                yield
    finally:
        _request_id.reset(token)
