"""Listening: aiohttp's server with the limits of this application."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp.web import RequestPayloadError, Server
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from hexhub.http import recognition, sendfile, wire
from hexhub.http.dispatch import Dispatcher, Learnt
from hexhub.http.hot_path import Answer, Body, Hit, HotPath
from hexhub.http.wire import HEAD_S, KEEPALIVE_S

A_DAY_S = 86_400.0

QUIET = logging.getLogger("hexhub.aiohttp")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False


class Others(Protocol):
    """Other processes that answer on the same port."""

    @property
    def connections(self) -> int: ...
    @property
    def answered(self) -> int: ...


class Lender(Protocol):
    """Whoever a connection came from, and may go back to."""

    def give_back(self, fd: int, peer: str, answer: Answer) -> bool:
        """Pass the socket on, and before it the answer that was not known there."""
        ...


@dataclass(frozen=True, slots=True)
class Handed:
    """A connection that another process accepted, with what it has read from it."""

    data: bytes
    waited_s: float
    """How long a head has been waited for."""
    lender: Lender


class Connection(RequestHandler):
    """A connection whose first request must arrive in time: aiohttp gives it as long as a later one.

    What the hot path knows is written straight to the socket. One that a reader handed over goes
    back when it asks for what readers know, if nothing but whole requests ever came on it here.
    """

    __slots__ = ("_clean", "_fd", "_handed", "_head_timer", "_hot", "_peer", "_rest", "_untouched")

    def __init__(
        self, server: HttpServer, hot: HotPath | None, handed: Handed | None, **settings: Any
    ) -> None:
        super().__init__(server, **settings)
        self._hot = hot
        self._handed = handed
        self._clean = hot is not None
        """Whether all bytes so far were whole requests, so that new ones begin a request."""
        self._fd = -1
        self._peer = ""
        self._rest: asyncio.Task[None] | None = None
        """Sends the rest of a file; nothing is read meanwhile."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = self.peername
        self._peer = str(peer[0]) if isinstance(peer, tuple) else ""
        sock = transport.get_extra_info("socket")
        if sock is not None and transport.get_extra_info("sslcontext") is None:
            self._fd = sock.fileno()
        waited_s = 0.0 if self._handed is None else self._handed.waited_s
        self._untouched = self._next_keepalive_close_time
        self._head_timer = self._loop.call_later(HEAD_S - waited_s, self._close_unless_started)
        if self._handed is not None and self._handed.data:
            self.data_received(self._handed.data)

    def data_received(self, data: bytes) -> None:
        if self._clean and data:
            if self._hot is not None and self._idle() and self._answered(self._hot, data):
                if self._rest is None:
                    self._next_keepalive_close_time = self._loop.time() + KEEPALIVE_S
                return
            self._clean = recognition.is_whole(data)
        super().data_received(data)
        self._end_broken_body()

    def _end_broken_body(self) -> None:
        """Tell who reads a body that bytes came which are none of it.

        aiohttp answers them as a request of their own, and lets the first one wait for ever.
        """
        request = self._current_request
        if request is None or not self._messages or request.content.is_eof():
            return
        if isinstance(self._messages[-1][0], _ErrInfo):
            request.content.set_exception(RequestPayloadError("these bytes are no chunk"))

    @property
    def busy(self) -> bool:
        """Whether a request is under way here, or its answer not sent yet."""
        return self._current_request is not None or (
            self.transport is not None and self.transport.get_write_buffer_size() > 0
        )

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

    def _answered(self, hot: HotPath, data: bytes) -> bool:
        """Whether the hot path knew this request and its answer."""
        hit = hot.find(data, self._peer)
        if hit is None:
            return False
        if hit.answer.kept.path:
            return self._send_file(hot, hit)
        self._send(hit.head, hit.answer.body)
        hot.sent(hit)
        if self._handed is not None:
            self._give_back(self._handed.lender, hit.answer)
        return True

    def _send(self, head: bytes, body: Body) -> None:
        """To the socket itself, as nothing waits before it; what does not fit waits its turn."""
        assert self.transport is not None
        if self._fd < 0:
            self.transport.write(b"".join((head, body)))
            return
        try:
            left = wire.write(self._fd, head, body)
        except OSError:
            self.transport.abort()
            return
        for part in left:
            self.transport.write(part)

    def _send_file(self, hot: HotPath, hit: Hit) -> bool:
        """The same with a body that the kernel reads; whether the file was there."""
        kept = hit.answer.kept
        if self._fd < 0:
            return False
        file = wire.open_file(kept.path, kept.size)
        if file is None:
            return False
        sending = wire.Sending(hit.head, file, kept.size)
        try:
            done = sending.go(self._fd)
        except OSError:
            sending.close()
            assert self.transport is not None
            self.transport.abort()
            return True
        if done:
            hot.sent(hit)
            if self._handed is not None:
                self._give_back(self._handed.lender, hit.answer)
        else:
            assert self.transport is not None
            self.transport.pause_reading()
            self._request_in_progress = True
            self._next_keepalive_close_time = self._loop.time() + A_DAY_S
            self._rest = self._loop.create_task(self._send_rest(hot, hit, sending))
        return True

    async def _send_rest(self, hot: HotPath, hit: Hit, sending: wire.Sending) -> None:
        # A second number for the same socket: the loop keeps the first one to itself.
        sock = os.dup(self._fd)
        try:
            while not sending.go(sock):
                await sendfile.writable(sock)
            hot.sent(hit)
        except (OSError, TimeoutError):
            if self.transport is not None:
                self.transport.abort()
        finally:
            os.close(sock)
            sending.close()
            self._request_in_progress = False
            self._rest = None
            if self._handler_waiter is not None and not self._handler_waiter.done():
                self._handler_waiter.set_result(None)
            if self.transport is not None and not self.transport.is_closing():
                self.transport.resume_reading()
                self._next_keepalive_close_time = self._loop.time() + KEEPALIVE_S

    def _give_back(self, lender: Lender, answer: Answer) -> None:
        transport = self.transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size():
            return
        transport.pause_reading()
        fd = os.dup(self._fd)
        try:
            if lender.give_back(fd, self._peer, answer):
                transport.abort()  # closes our number of the socket, not the connection
            else:
                transport.resume_reading()
        finally:
            os.close(fd)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._head_timer.cancel()
        if self._rest is not None:
            self._rest.cancel()
        super().connection_lost(exc)

    def _close_unless_started(self) -> None:
        if self._current_request is not None or self._rest is not None:
            return
        if self._next_keepalive_close_time == self._untouched:
            self.force_close()
        elif self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(
                self._next_keepalive_close_time, self._process_keepalive
            )


class HttpServer(Server):
    """Makes connections. Bodies are never inflated: an upload is kept as sent (http-api.md §1.8)."""

    def __init__(self, dispatcher: Dispatcher, hot: HotPath | None = None) -> None:
        self._hot = hot
        self._dispatcher = dispatcher
        self.readers: Others | None = None
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
        return len(self.connections) + (self.readers.connections if self.readers else 0)

    @property
    def answered_hot(self) -> int:
        """Requests answered before they were parsed."""
        ours = 0 if self._hot is None else self._hot.answered
        return ours + (self.readers.answered if self.readers else 0)

    def learnt(self, hear: Learnt | None) -> None:
        """Have each answer that the hot path keeps told to someone."""
        self._dispatcher.learnt = hear

    @property
    def busy(self) -> bool:
        """Whether a request is under way, or an answer not sent yet."""
        return any(
            isinstance(connection, Connection) and connection.busy
            for connection in self.connections
        )

    def say_goodbye(self) -> None:
        """Let every answer from here on be the last on its connection.

        Whoever keeps one open, as load balancers do, then does not send a request into its end.
        """
        self._dispatcher.closing = True
        if self._hot is not None:
            self._hot.closing = True

    def __call__(self) -> RequestHandler:
        return Connection(self, self._hot, None, loop=self._loop, **self._kwargs)

    def handed(self, handed: Handed) -> RequestHandler:
        """For a connection that another process accepted."""
        return Connection(self, self._hot, handed, loop=self._loop, **self._kwargs)
