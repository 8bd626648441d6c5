"""Sockets that listen: bound once, and accepted on alone or beside other processes."""

from __future__ import annotations

import asyncio
import socket

from hexhub.errors import Refused
from hexhub.http.server import HttpServer

BACKLOG = 1024
ACCEPT_AGAIN_S = 0.5


class SharedSite:
    """Accepts on a socket on which other processes accept, too.

    One connection a turn: the loop's own server would take all that wait, and leave the others idle.
    """

    def __init__(self, server: HttpServer, sock: socket.socket) -> None:
        self._server = server
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._joining: set[asyncio.Task[object]] = set()
        self._again: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        self._sock.setblocking(False)
        self._sock.listen(BACKLOG)
        self._listen()

    async def stop(self) -> None:
        """Take no more connections."""
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()
        await asyncio.gather(*self._joining, return_exceptions=True)

    def _listen(self) -> None:
        self._loop.add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        try:
            sock, _ = self._sock.accept()
        except BlockingIOError:
            return
        except OSError:  # no descriptors are left
            self._loop.remove_reader(self._sock.fileno())
            self._again = self._loop.call_later(ACCEPT_AGAIN_S, self._listen)
            return
        sock.setblocking(False)
        join = self._loop.connect_accepted_socket(self._server, sock)
        task = self._loop.create_task(join)
        self._joining.add(task)
        task.add_done_callback(self._joined)

    def _joined(self, task: asyncio.Task[object]) -> None:
        self._joining.discard(task)
        if not task.cancelled():
            task.exception()  # a client that was gone before it was here


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
