"""The way of every request: parse, find the route, run its site's pipeline, answer, log, count.

The order is that of http-api.md §1.2: bodies are decoded before routes are looked up.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import TypeAlias

import structlog
from aiohttp.web import BaseRequest, StreamResponse

from hexhub import errors, tracing
from hexhub.http import bodies, negotiation, responses, routes
from hexhub.http.blobs import Streamed
from hexhub.http.call import Call
from hexhub.http.hot_path import HotAnswers, Kept
from hexhub.http.learning import Ticket, learn
from hexhub.http.metrics import Metrics
from hexhub.http.recognition import REQUEST_ID_LENGTHS
from hexhub.http.request_log import log_request
from hexhub.http.routes import Access, Handler, Route, Router
from hexhub.hub import Hub

Log: TypeAlias = structlog.typing.FilteringBoundLogger
Learnt: TypeAlias = Callable[[Kept, bytes], None]

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
IDS_AT_ONCE = 128
_ids: list[str] = []
"""Request ids, 16 random bytes in hex: asking the system for many at once is cheaper."""
UNROUTED = "unrouted"
CLIENT_GONE = 499
"""What the log says of a request whose answer was not delivered."""


async def _run(call: Call, handler: Handler) -> StreamResponse:
    return await handler(call)


async def _not_found(call: Call) -> StreamResponse:
    raise errors.NotFound


async def _bad(call: Call) -> StreamResponse:
    raise errors.BadRequest("Bad request")


NO_ROUTE = Route("GET", UNROUTED, Access("anyone"), _not_found, _run)


class Dispatcher:
    """Answers requests; one for each listening address, so that faces can differ."""

    def __init__(
        self,
        hub: Hub,
        router: Router,
        metrics: Metrics,
        log: Log,
        hot: HotAnswers | None = None,
    ) -> None:
        self.closing = False
        """Whether each answer is the last one on its connection."""
        self.learnt: Learnt | None = None
        """Hears of each answer that the hot path keeps."""
        self._hub = hub
        self._hot = hot
        self._router = router
        self._metrics = metrics
        self._log = log

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        with self._metrics.in_flight.track_inprogress():
            return await self._handle(request)

    async def _handle(self, request: BaseRequest) -> StreamResponse:
        request_id = _request_id(request)
        with tracing.request(request_id, request.headers):
            return await self._handle_known(request, request_id)

    async def _handle_known(self, request: BaseRequest, request_id: str) -> StreamResponse:
        began = time.monotonic()
        self._hub.store.hear()
        call = Call(
            request=request,
            hub=self._hub,
            now=self._hub.now(),
            route=NO_ROUTE,
            path={},
            query={},
            body={},
            hot=self._hot,
        )
        try:
            response = await self._answer(call)
        except (asyncio.CancelledError, ConnectionError):
            self._record(call, CLIENT_GONE, began, request_id)
            raise
        except Exception as error:
            response = self._refuse(call, error, request_id)
        return await self._finish(call, response, began, request_id)

    async def _answer(self, call: Call) -> StreamResponse:
        request = call.request
        parts = routes.segments(request.raw_path)
        call.query = _query(request)
        call.body = await bodies.parse(request)
        found = self._router.find(request, _method(call), parts)
        if found is None:
            raise errors.NotFound
        call.route, call.path = found
        if self._hub.limits.blocked(call.ip):
            raise errors.Forbidden("Blocked")
        return await call.route.pipeline(call, _bad if call.holds_nul else call.route.handler)

    def _refuse(self, call: Call, error: Exception, request_id: str) -> StreamResponse:
        """The answer to an error that no site answered: it came before, or it is a fault of ours."""
        if responses.status_of(error)[0] == 500:
            self._log.exception("request failed", request_id=request_id, route=call.route.pattern)
        request = call.request
        response: StreamResponse
        if _is_api(request):
            format = negotiation.for_error(request)
            response = responses.error_object(
                call, error, format, publishing=_writes_packages(request)
            )
        else:
            response = call.fault_page or responses.error_text(call, error)
        if bodies.expects_continue(request):
            response.force_close()
        return response

    async def _finish(
        self, call: Call, response: StreamResponse, began: float, request_id: str
    ) -> StreamResponse:
        if not response.prepared:
            if self.closing:
                response.force_close()
            response.headers["X-Request-Id"] = request_id
            response.headers.update(call.headers)
            if call.message:
                response.headers["X-Hex-Message"] = call.message
            await response.prepare(call.request)
        try:
            if isinstance(response, Streamed) and call.request.method != "HEAD":
                await response.send(call.request)
            await response.write_eof()
            if bodies.never_comes(call.request) and call.request.protocol is not None:
                # aiohttp would wait ten seconds for it.
                call.request.protocol.force_close()
        except (ConnectionError, TimeoutError) as error:
            self._record(call, CLIENT_GONE, began, request_id)
            if isinstance(error, TimeoutError) and call.request.transport is not None:
                call.request.transport.abort()
            raise ConnectionResetError("the client is gone") from error
        except Exception:
            # The head is sent: the only way left to say that this went wrong is to break off.
            self._log.exception("answer broken off", request_id=request_id)
            if call.request.transport is not None:
                call.request.transport.abort()
            self._record(call, CLIENT_GONE, began, request_id)
            return response
        self._record(call, response.status, began, request_id)
        if self._hot is not None and call.ticket is not None and not call.message:
            self._remember(call, call.ticket, response)
        return response

    def _remember(self, call: Call, ticket: Ticket, response: StreamResponse) -> None:
        if self._hot is None or call.headers:
            return
        learnt = learn(ticket, call.request, response, call.route.pattern, call.actor.name)
        # What was applied meanwhile moves numbers first: a memo may not have known of it.
        call.hub.store.hear()
        if learnt is not None and call.hub.topics.holds(ticket.stamp):
            self._hot.keep(*learnt)
            if self.learnt is not None:
                self.learnt(*learnt)

    def _record(self, call: Call, status: int, began: float, request_id: str) -> None:
        seconds = time.monotonic() - began
        method = call.request.method if call.request.method in METHODS else "other"
        self._metrics.observe(call.route.pattern, method, status, seconds)
        about: dict[str, str | int] = {
            "http.request.method": method,
            "http.route": call.route.pattern,
            "http.response.status_code": status,
        }
        tracing.note(f"{method} {call.route.pattern or '/'}", about)
        log_request(
            self._log,
            request_id=request_id,
            method=method,
            route=call.route.pattern,
            path=call.request.raw_path,
            status=status,
            seconds=seconds,
            actor=call.actor.name,
            ip=call.ip,
        )


def _method(call: Call) -> str:
    """The verb; a POST may name another in `_method` (http-api.md §1.1)."""
    override = call.body.get("_method")
    if call.request.method == "POST" and override in ("PUT", "PATCH", "DELETE"):
        return str(override)
    return call.request.method


def _query(request: BaseRequest) -> dict[str, str]:
    """The last value of each name."""
    query = dict(request.query.items())
    try:
        "".join((*query, *query.values())).encode()
    except UnicodeEncodeError:
        raise errors.BadRequest("Bad request") from None
    return query


def _is_api(request: BaseRequest) -> bool:
    return request.raw_path.lstrip("/").startswith("api") or negotiation.accepts(
        request, "application/vnd.hex+"
    )


def _writes_packages(request: BaseRequest) -> bool:
    """Writes of packages, docs, owners and retirement, also before their route is known."""
    path = request.raw_path.partition("?")[0].rstrip("/")
    return request.method not in ("GET", "HEAD") and (
        "/packages/" in path or path.endswith("/publish")
    )


def _request_id(request: BaseRequest) -> str:
    given = request.headers.get("X-Request-Id", "")
    if len(given) in REQUEST_ID_LENGTHS and given.isascii() and given.isprintable():
        return given
    if not _ids:
        text = os.urandom(16 * IDS_AT_ONCE).hex()
        _ids.extend(text[at : at + 32] for at in range(0, len(text), 32))
    return _ids.pop()
