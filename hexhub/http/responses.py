"""Answers: every error turned into a status here, and nowhere else (http-api.md §1.10, §1.13)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from aiohttp.web import BaseRequest, Response

from cluster import (
    ClusterError,
    Conflict,
    DiskFull,
    DiskReadOnly,
    KeyInvalid,
    NoLeader,
    NoQuorum,
    OutcomeUnknown,
    Overloaded,
)
from hexhub import errors
from hexhub.http import hot_path, negotiation
from hexhub.http.call import Call

VARY = "accept, accept-encoding"
NO_STORE = "max-age=0, private, must-revalidate"
RETRY_AFTER_S = 2

_STATUSES: tuple[tuple[type[Exception], int, str | None], ...] = (
    (errors.BadRequest, 400, "Bad request"),
    (errors.Unauthenticated, 401, None),
    (errors.Forbidden, 403, None),
    (errors.NotFound, 404, "Page not found"),
    (errors.Unacceptable, 406, None),
    (errors.TimedOut, 408, "Request timeout"),
    (errors.Clash, 409, "Conflict"),
    (errors.LengthRequired, 411, None),
    (errors.TooLarge, 413, "Payload too large"),
    (errors.Invalid, 422, "Validation error(s)"),
    (errors.TooManyRequests, 429, "Too many requests"),
    (KeyInvalid, 404, "Page not found"),
    (errors.UpstreamWrong, 502, "Bad gateway"),
    (errors.Unavailable, 503, "Service unavailable"),
    (Conflict, 503, "too many changes at once, try again"),
    (NoLeader, 503, "no leader right now, nothing was changed, try again"),
    (NoQuorum, 503, "no quorum right now, nothing was changed, try again"),
    (Overloaded, 503, "too much to do right now, nothing was changed, try again"),
    (DiskFull, 503, "no space left to store this, nothing was changed"),
    (DiskReadOnly, 503, "the disk is read-only, nothing was changed"),
    (OutcomeUnknown, 504, "no answer in time; what was asked may still happen"),
    (ClusterError, 503, "the store cannot answer right now"),
)

REBAR3_MISREADS = frozenset({400, 406, 408, 411, 413, 429, 503, 504})
"""Statuses that rebar3_hex prints as success on a write (http-api.md §6)."""


def status_of(error: Exception) -> tuple[int, str | None]:
    """Status and message of an error; 500 for one that nobody foresaw."""
    for kind, status, default in _STATUSES:
        if isinstance(error, kind):
            said = None if isinstance(error, (errors.Invalid, ClusterError)) else str(error)
            return status, said or default
    return 500, "Internal server error"


def misread_by(request: BaseRequest) -> bool:
    """Whether this is rebar3's plugin, which takes most errors on a write for success."""
    agent = request.headers.get("User-Agent", "")
    return agent.startswith("hex_core/") and "(httpc)" in agent


def error_headers(call: Call, error: Exception) -> dict[str, str]:
    """Headers that belong to an error."""
    headers = {"Cache-Control": NO_STORE}
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = error.challenge
    if isinstance(error, errors.Unreachable):
        headers["Retry-After"] = str(error.retry_after_s)
    elif isinstance(error, errors.Unavailable | ClusterError) and not isinstance(error, KeyInvalid):
        short = error.retry_after_s if isinstance(error, errors.Unavailable) else RETRY_AFTER_S
        kind = type(error).__name__
        headers["Retry-After"] = str(call.hub.patience.seconds(kind, short, call.now))
    return headers


def error_object(
    call: Call, error: Exception, format: str, *, publishing: bool = False
) -> Response:
    """An error in the shape that Hex clients print: `status`, `message`, perhaps `errors`."""
    status, message = status_of(error)
    value: dict[str, object] = {"status": status, "message": message}
    if isinstance(error, errors.Invalid):
        value["errors"] = error.text if isinstance(error, errors.InvalidAsText) else error.errors
    if publishing and status in REBAR3_MISREADS and misread_by(call.request):
        status = 500
    return Response(
        status=status,
        body=negotiation.encode(value, format),
        headers=error_headers(call, error)
        | {"Content-Type": negotiation.CONTENT_TYPES[format], "Vary": "accept-encoding"},
    )


def error_text(call: Call, error: Exception) -> Response:
    """An error as plain text, for repository paths and everything that is no API."""
    status, message = status_of(error)
    return Response(status=status, text=f"{message}\n", headers=error_headers(call, error))


def resource(
    call: Call,
    value: object,
    *,
    status: int = 200,
    cache: str = "private",
    conditional: bool = False,
    modified: datetime | None = None,
    location: str | None = None,
) -> Response:
    """A resource of the API in the negotiated format, or 304 when the client has it already."""
    if conditional:
        return encoded(call, encode(value, call.format, modified), cache=cache)
    headers = {"Cache-Control": f"{cache}, max-age=60", "Vary": VARY}
    if location is not None:
        headers["Location"] = location
    headers["Content-Type"] = negotiation.CONTENT_TYPES[call.format]
    body = negotiation.encode(value, call.format)
    return Response(status=status, body=body, headers=headers)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A resource as bytes of one format, with what conditional requests compare."""

    body: bytes
    etag: str
    modified: datetime | None
    last_modified: str | None


def encode(value: object, format: str, modified: datetime | None) -> Encoded:
    """Encode a resource."""
    body = negotiation.encode(value, format)
    last_modified = format_datetime(modified.astimezone(UTC), usegmt=True) if modified else None
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return Encoded(body, etag, modified, last_modified)


def encoded_list(parts: Sequence[bytes], format: str) -> Encoded:
    """A list of resources that are encoded already; no date stands for all of it."""
    body = negotiation.join(parts, format)
    return Encoded(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"', None, None)


def encoded(call: Call, value: Encoded, *, cache: str = "private") -> Response:
    """A resource that is encoded already, or 304 when the client has it."""
    headers = {"Cache-Control": f"{cache}, max-age=60", "Vary": VARY, "ETag": value.etag}
    if value.last_modified is not None:
        headers["Last-Modified"] = value.last_modified
    if is_fresh(call.request, value.etag, value.modified):
        headers["Cache-Control"] = NO_STORE
        return Response(status=304, headers=headers)
    headers["Content-Type"] = negotiation.CONTENT_TYPES[call.format]
    return Response(body=value.body, headers=headers)


def plain(call: Call, value: object, *, status: int = 200) -> Response:
    """A value that is no resource: never cached."""
    return Response(
        status=status,
        body=negotiation.encode(value, call.format),
        headers={
            "Cache-Control": NO_STORE,
            "Vary": "accept-encoding",
            "Content-Type": negotiation.CONTENT_TYPES[call.format],
        },
    )


def empty(status: int = 204, *, headers: Mapping[str, str] | None = None) -> Response:
    """An answer without a body, and so without a content type."""
    response = Response(status=status, headers={"Vary": VARY} | dict(headers or {}))
    response.headers.setdefault("Cache-Control", "private, max-age=60")
    response.headers.popall("Content-Type", None)
    return response


def is_fresh(request: BaseRequest, etag: str, modified: datetime | None = None) -> bool:
    """Whether the client's copy is this one; an empty `If-None-Match` counts as absent."""
    tags = request.headers.get("If-None-Match", "").strip()
    since = _date(request.headers.get("If-Modified-Since")) if modified else None
    if tags and not hot_path.listed(tags, etag):
        return False
    if since and modified and modified.replace(microsecond=0) > since:
        return False
    return bool(tags or since)


def _date(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text) if text else None
    except (TypeError, ValueError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


def quoted_message(text: str, level: str = "warn") -> str:
    """A value for `x-hex-message`: unquoted it would crash Mix (http-api.md §1.14)."""
    return '"' + re.sub(r'[^ -~]|["\\]', "", text) + f'";level={level}'
