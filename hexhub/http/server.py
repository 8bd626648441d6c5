"""Listening: aiohttp's server with the limits of this application."""

from __future__ import annotations

import asyncio
import logging
import socket

from aiohttp.web import Server
from aiohttp.web_protocol import RequestHandler

from hexhub.errors import Refused
from hexhub.http.dispatch import Dispatcher

HEAD_S = 20.0
"""A new connection that has not sent a whole head by then is closed."""
KEEPALIVE_S = 75.0
BACKLOG = 1024

QUIET = logging.getLogger("hexhub.aiohttp")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False


class Connection(RequestHandler):
    """A connection whose first request must arrive in time. aiohttp bounds only later ones."""

    __slots__ = ("_head_timer",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._head_timer = self._loop.call_later(HEAD_S, self._close_unless_started)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._head_timer.cancel()
        super().connection_lost(exc)

    def _close_unless_started(self) -> None:
        if self._current_request is None and self._next_keepalive_close_time == 0.0:
            self.force_close()


class HttpServer(Server):
    """Makes connections. Bodies are never inflated: an upload is kept as sent (http-api.md §1.8)."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__(
            dispatcher,
            auto_decompress=False,
            keepalive_timeout=KEEPALIVE_S,
            access_log=None,
            logger=QUIET,
        )

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)


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
