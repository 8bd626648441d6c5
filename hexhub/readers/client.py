"""One connection of a reader: a request is read, its answer sent, however slowly it is taken."""

from __future__ import annotations

import select
import socket
from typing import Protocol

from hexhub.http import wire
from hexhub.http.hot_path import Body, Hit, HotPath
from hexhub.readers import messages
from hexhub.readers.messages import Begin

READ, WRITE = select.EPOLLIN, select.EPOLLOUT


class Host(Protocol):
    """The reader, as its connections see it."""

    now: float
    draining: bool
    hot: HotPath
    begin: Begin

    def watch(self, client: Client, events: int) -> None: ...
    def hand_over(self, client: Client, data: bytes) -> None: ...
    def forget(self, client: Client) -> None: ...


class Client:
    """A connection, between two requests or while an answer is on its way."""

    __slots__ = ("asked", "hit", "left", "peer", "reader", "sending", "since", "sock")

    def __init__(self, reader: Host, sock: socket.socket, peer: str, *, asked: bool) -> None:
        self.reader = reader
        self.sock = sock
        self.peer = peer
        self.asked = asked
        """Whether it has asked for anything yet."""
        self.since = reader.now
        self.hit: Hit | None = None
        """What is on its way."""
        self.left: tuple[Body, ...] = ()
        self.sending: wire.Sending | None = None

    def ready(self, events: int) -> None:
        """Something may be read or written."""
        try:
            if self.hit is not None:
                self._go_on()
            else:
                self._read()
        except OSError:
            self.close()

    def _read(self) -> None:
        try:
            data = self.sock.recv(messages.READ_MAX)
        except BlockingIOError:
            return
        if not data:
            self.close()
            return
        hit = self.reader.hot.find(data, self.peer)
        if hit is None or not self._send(hit):
            self.reader.hand_over(self, data)

    def _send(self, hit: Hit) -> bool:
        """Send an answer, as much as goes at once; whether there was one to be sent."""
        kept, fd = hit.answer.kept, self.sock.fileno()
        if kept.path:
            file = wire.open_file(kept.path, kept.size)
            if file is None:
                return False
            self.sending = wire.Sending(hit.head, file, kept.size)
            done = self.sending.go(fd)
        else:
            self.left = wire.write(fd, hit.head, hit.answer.body)
            done = not self.left
        self.since, self.asked = self.reader.now, True
        if done:
            self.sending = None
            self.reader.hot.sent(hit)
        else:
            self.hit = hit
            self.reader.watch(self, WRITE)
        return True

    def _go_on(self) -> None:
        fd = self.sock.fileno()
        if self.sending is not None:
            done = self.sending.go(fd)
        else:
            head, body = (*self.left, b"")[:2]
            self.left = wire.write(fd, head, body)
            done = not self.left
        self.since = self.reader.now
        if done and self.hit is not None:
            self.reader.hot.sent(self.hit)
            self.hit = self.sending = None
            if self.reader.draining:
                self.reader.hand_over(self, b"")
            else:
                self.reader.watch(self, READ)

    def overdue(self, now: float) -> bool:
        """Whether it has been silent for too long."""
        if self.hit is not None:
            return now - self.since > wire.STALL_S
        begin = self.reader.begin
        return now - self.since > (begin.keepalive_s if self.asked else begin.head_s)

    def close(self) -> None:
        self.reader.forget(self)
        if self.sending is not None:
            self.sending.close()
        self.sock.close()
