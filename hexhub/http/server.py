"""Listening: aiohttp's server with the limits of this application."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import Callable
from typing import Any

from aiohttp.web import Server
from aiohttp.web_protocol import RequestHandler

from hexhub.errors import Refused
from hexhub.http import hot_path
from hexhub.http.dispatch import Dispatcher, Log, log_request
from hexhub.http.hot_path import Asked, HotAnswers, Kept

HEAD_S = 20.0
"""A new connection that has not sent a whole head by then is closed."""
KEEPALIVE_S = 75.0
BACKLOG = 1024
RECOGNISED_MAX = 4096

QUIET = logging.getLogger("hexhub.aiohttp")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False


class Connection(RequestHandler):
    """A connection whose first request must arrive in time: aiohttp gives it as long as a later one."""

    __slots__ = ("_clean", "_head_timer", "_hot", "_untouched")

    def __init__(self, server: HttpServer, hot: HotPath | None, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._hot = hot
        self._clean = hot is not None
        """Whether all bytes so far were whole requests, so that new ones begin a request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._untouched = self._next_keepalive_close_time
        self._head_timer = self._loop.call_later(HEAD_S, self._close_unless_started)

    def data_received(self, data: bytes) -> None:
        if self._clean and data:
            if self._hot is not None and self._idle() and self._hot.answer(self, data):
                self._next_keepalive_close_time = self._loop.time() + KEEPALIVE_S
                return
            self._clean = hot_path.is_whole(data)
        super().data_received(data)

    def _idle(self) -> bool:
        """Whether nothing is on its way in or out."""
        return (
            self._current_request is None
            and not self._messages
            and not self._request_in_progress
            and not self._force_close
            and not self._close
            and self.transport is not None
            and self.transport.get_write_buffer_size() == 0
        )

    def connection_lost(self, exc: BaseException | None) -> None:
        self._head_timer.cancel()
        super().connection_lost(exc)

    def _close_unless_started(self) -> None:
        if self._current_request is not None:
            return
        if self._next_keepalive_close_time == self._untouched:
            self.force_close()
        elif self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(
                self._next_keepalive_close_time, self._process_keepalive
            )


class HotPath:
    """Sends kept answers on connections; counts and logs them as the ordinary way does."""

    def __init__(
        self,
        answers: HotAnswers,
        log: Log,
        docs_host: str | None = None,
        *,
        blocked: Callable[[str], bool] = lambda ip: False,
    ) -> None:
        self.closing = False
        self.answered = 0
        self._blocked = blocked
        self._answers = answers
        self._docs_host = docs_host
        self._recognised: dict[bytes, Asked] = {}
        self._log = log
        self._logs = log.is_enabled_for(logging.INFO)

    def answer(self, connection: Connection, data: bytes) -> bool:
        """Answer a request that is recognised and known; whether it was."""
        if self.closing:
            return False
        began = time.monotonic()
        asked = self._recognised.get(data) or self._recognise(data)
        if asked is None:
            return False
        kept = self._answers.find(asked)
        if kept is None or connection.transport is None:
            return False
        if self._blocked(_address(connection)):
            return False
        request_id = secrets.token_hex(16)
        connection.transport.write(hot_path.compose(kept, request_id))
        if kept.on_hit is not None:
            kept.on_hit()
        seconds = time.monotonic() - began
        kept.observe(seconds)
        self.answered += 1
        if self._logs:
            self._record(connection, asked, kept, seconds, request_id)
        return True

    def _recognise(self, data: bytes) -> Asked | None:
        """A client repeats its head byte for byte, so what it means is worth remembering."""
        asked = hot_path.recognise(data)
        if asked is None or asked.host == self._docs_host:
            return None
        if len(self._recognised) >= RECOGNISED_MAX:
            self._recognised.clear()
        self._recognised[data] = asked
        return asked

    def _record(
        self, connection: Connection, asked: Asked, kept: Kept, seconds: float, request_id: str
    ) -> None:
        log_request(
            self._log,
            request_id=request_id,
            method=asked.method.decode(),
            route=kept.route,
            path=asked.target.decode(),
            status=kept.status,
            seconds=seconds,
            actor=None,
            ip=_address(connection),
        )


def _address(connection: Connection) -> str:
    peer = connection.peername
    return str(peer[0]) if isinstance(peer, tuple) else ""


class HttpServer(Server):
    """Makes connections. Bodies are never inflated: an upload is kept as sent (http-api.md §1.8)."""

    def __init__(self, dispatcher: Dispatcher, hot: HotPath | None = None) -> None:
        self._hot = hot
        self._dispatcher = dispatcher
        super().__init__(
            dispatcher,
            auto_decompress=False,
            keepalive_timeout=KEEPALIVE_S,
            access_log=None,
            logger=QUIET,
        )

    @property
    def connected(self) -> int:
        """Open connections."""
        return len(self.connections)

    @property
    def answered_hot(self) -> int:
        """Requests answered before they were parsed."""
        return 0 if self._hot is None else self._hot.answered

    def say_goodbye(self) -> None:
        """Let every answer from here on be the last on its connection.

        Whoever keeps one open, as load balancers do, then does not send a request into its end.
        """
        self._dispatcher.closing = True
        if self._hot is not None:
            self._hot.closing = True

    def __call__(self) -> RequestHandler:
        return Connection(self, self._hot, loop=self._loop, **self._kwargs)


def bind(host: str, port: int) -> socket.socket:
    """A socket on this address, not yet listening. Raises Refused for an occupied one."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise Refused(f"cannot listen on {host}: {error.strerror}") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise Refused(f"cannot listen on {host}, port {port}: {error.strerror}") from None
    return sock
