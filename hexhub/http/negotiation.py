"""Which format an answer has, and how a value is written in it (http-api.md §1.3, §1.4, §1.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from aiohttp.web import BaseRequest

from hexhub.errors import Unacceptable
from hexhub.formats import erlang_external

JSON, ERLANG = "json", "erlang"

CONTENT_TYPES = {
    JSON: "application/json; charset=utf-8",
    ERLANG: "application/vnd.hex+erlang; charset=utf-8",
}

_FORMATS = {
    "application/json": JSON,
    "application/vnd.hex+json": JSON,
    "application/vnd.hex+erlang": ERLANG,
    "application/*": JSON,
    "*/*": JSON,
}


def choose(accept: str | None, override: object = None) -> str:
    """The format for a request: `_format` first, then the Accept header. Raises Unacceptable."""
    if override is not None:
        if isinstance(override, str) and override in CONTENT_TYPES:
            return override
        raise Unacceptable
    if accept is None or not accept.strip():
        return JSON
    best, best_q = None, 0.0
    for entry in accept.split(","):
        media, q = _entry(entry)
        if media not in _FORMATS:
            continue
        if q >= 1:
            return _FORMATS[media]
        if q > best_q:
            best, best_q = _FORMATS[media], q
    if best is None:
        raise Unacceptable
    return best


def _entry(text: str) -> tuple[str, float]:
    media, *parameters = text.split(";")
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name.strip().lower() == "q":
            try:
                return media.strip().lower(), float(value)
            except ValueError:
                return media.strip().lower(), 0.0
    return media.strip().lower(), 1.0


def for_error(request: BaseRequest) -> str:
    """The format of an answer that is given before negotiation, or because it failed."""
    try:
        return choose(request.headers.get("Accept"), request.query.get("_format"))
    except Unacceptable:
        return JSON


def accepts(request: BaseRequest, *media: str) -> bool:
    """Whether the Accept header names one of these media types."""
    header = request.headers.get("Accept", "").lower()
    return any(name in header for name in media)


def encode(value: object, format: str) -> bytes:
    """A value of dicts, lists, texts, numbers, None and aware datetimes as bytes."""
    plain = _plain(value, format)
    return erlang_external.encode(plain) if format == ERLANG else msgspec.json.encode(plain)


def join(parts: Sequence[bytes], format: str) -> bytes:
    """The list of values that are encoded already, as `encode` would have encoded it."""
    return erlang_external.join(parts) if format == ERLANG else b"[" + b",".join(parts) + b"]"


def _plain(value: object, format: str) -> object:
    match value:
        case datetime():
            moment = value.astimezone(UTC)
            pattern = "%Y-%m-%dT%H:%M:%SZ" if format == ERLANG else "%Y-%m-%dT%H:%M:%S.%fZ"
            return moment.strftime(pattern)
        case Mapping():
            return {key: _plain(item, format) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item, format) for item in value]
    return value
