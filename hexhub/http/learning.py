"""How the hot path learns an answer: the ordinary way made it, and said what it depends on."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp.web import BaseRequest, Response, StreamResponse

from hexhub.http import recognition
from hexhub.http.blobs import StreamedPart
from hexhub.http.hot_path import Kept
from hexhub.marks import Stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """The promise that an answer holds while the stamp does, and until unix second `until`.

    `credentialed`: it is for whoever shows this credential; `public`: for whoever shows any or
    none. `limited`: it counts against a limit of requests. `counted`: what a fetch of it adds one
    to. `files`: whether a file that it is sent from stays as it is.
    """

    stamp: Stamp
    until: float | None = None
    credentialed: bool = False
    public: bool = False
    limited: bool = False
    counted: tuple[str, ...] = ()
    files: bool = False


def learn(
    ticket: Ticket, request: BaseRequest, response: StreamResponse, route: str, actor: str | None
) -> tuple[Kept, bytes] | None:
    """What to keep of an answer that was sent, if it is one that may be sent again."""
    kind = _kind(request, response)
    authorization = request.headers.getall("Authorization", [])
    if kind is None or len(authorization) > 1 or not (authorization or not ticket.credentialed):
        return None
    found = _body(ticket, response, kind)
    if found is None:
        return None
    body, path, size = found
    credential = b""
    if authorization and not ticket.public:
        credential = recognition.digest(authorization[0].encode("utf-8", "surrogateescape"))
    before_id, before_date, after_date = _head(response)
    kept = Kept(
        target=request.raw_path.encode("utf-8", "surrogateescape"),
        kind=kind,
        credential=credential,
        public=ticket.public,
        stamp=ticket.stamp,
        until=ticket.until,
        before_id=before_id,
        before_date=before_date,
        after_date=after_date,
        etag=response.headers.get("ETag", ""),
        route=route,
        method=request.method,
        status=response.status,
        actor=actor,
        limited=ticket.limited,
        counted=ticket.counted if kind != b"HEAD" else (),
        path=path,
        size=size,
    )
    return kept, body


def _kind(request: BaseRequest, response: StreamResponse) -> bytes | None:
    if "Connection" in response.headers or request.version != (1, 1):
        return None
    if request.headers.get("Accept", "").encode() not in recognition.ACCEPTS:
        return None
    if "Range" in request.headers:
        return None
    if response.status == 304 and request.method == "GET":
        return b"304"
    if response.status != 200:
        return None
    return {"GET": b"GET", "HEAD": b"HEAD"}.get(request.method)


def _body(ticket: Ticket, response: StreamResponse, kind: bytes) -> tuple[bytes, str, int] | None:
    """The body in memory, or the path and the size of the file that it is."""
    if isinstance(response, StreamedPart):
        if not ticket.files:
            return None
        return (b"", "", 0) if kind == b"HEAD" else (b"", str(response.path), len(response.part))
    if not isinstance(response, Response):
        return None
    body = response.body if kind == b"GET" else b""
    return (body, "", 0) if isinstance(body, bytes) else None


def _head(response: StreamResponse) -> tuple[bytes, bytes, bytes]:
    """The head as it was sent, cut at the request id and at the date, which are new each time."""
    lines = [f"HTTP/1.1 {response.status} {response.reason}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    head = "\r\n".join(lines) + "\r\n\r\n"
    before, request_id, rest = head.partition(response.headers["X-Request-Id"])
    middle, date, after = rest.partition(response.headers["Date"])
    assert request_id
    assert date
    return before.encode(), middle.encode(), after.encode()
