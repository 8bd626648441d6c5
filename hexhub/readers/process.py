"""A reader: one small process that waits for requests and sends answers that it was given.

    python -m hexhub.readers.process CHANNEL LISTENER MARKS

The arguments are numbers of descriptors. It ends when the main process does.
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from hexhub.http.gate import Gate
from hexhub.http.hot_path import Hit, HotAnswers, HotPath
from hexhub.http.request_log import HotLog
from hexhub.http.tallies import Sums, Tallies
from hexhub.marks import NETWORKS, Marks
from hexhub.readers import messages
from hexhub.readers.client import READ, Client
from hexhub.readers.messages import Ask, Back, Begin, Drain, Learnt, Over, Ready, Rules, Told

TELL_EVERY_S = 1.0
NOTHING = 0


class Quiet:
    """Where no requests are logged."""

    wanted = False

    def write(self, hit: Hit, seconds: float) -> None: ...


class Reader:
    """The loop. Everything happens on its one thread."""

    def __init__(self, channel: socket.socket, listener: socket.socket, marks: Marks) -> None:
        self.now = time.monotonic()
        self.draining = False
        self.hot: HotPath
        self.begin: Begin
        self._marks = marks
        self._channel = channel
        self._listener = listener
        self._epoll = select.epoll()
        self._ready: dict[int, Callable[[int], None]] = {}
        self._clients: dict[int, Client] = {}
        self._outbox: deque[tuple[bytes, Client | None]] = deque()
        self._tallies = Tallies()
        self._gate: Gate | None = None
        self._told_at = self.now

    def run(self) -> None:
        """Until the main process is gone, or has everything back."""
        self._add(self._channel.fileno(), READ, self._hear)
        while not (self.draining and not self._clients and not self._outbox):
            for fd, events in self._epoll.poll(TELL_EVERY_S):
                if (ready := self._ready.get(fd)) is not None:
                    ready(events)
            self.now = time.monotonic()
            if self.now - self._told_at >= TELL_EVERY_S:
                self._told_at = self.now
                self._tell()
                self._sweep()
        self._channel.setblocking(True)
        self._tell()

    def _add(self, fd: int, events: int, ready: Callable[[int], None]) -> None:
        self._ready[fd] = ready
        self._epoll.register(fd, events)

    # The main process

    def _hear(self, events: int) -> None:
        if events & select.EPOLLOUT:
            self._post()
        if not events & ~select.EPOLLOUT:
            return
        while True:
            try:
                data, fds = messages.receive(self._channel)
            except BlockingIOError:
                return
            except OSError:  # it was gone before it had read everything
                os._exit(0)
            if not data:
                os._exit(0)  # the main process is gone, and with it whoever knows what holds
            self._take(messages.to_reader.decode(data), fds)

    def _take(self, message: messages.ToReader, fds: list[int]) -> None:
        match message:
            case Learnt(kept, body, size):
                self.hot.answers.keep(kept, _shared(fds.pop(), size) if fds else body)
            case Back(peer) if fds:
                self._join(socket.socket(fileno=fds.pop()), peer, asked=True)
            case Rules(addresses, log_level):
                self._gate = Gate(addresses)
                self._log_at(log_level)
            case Ask(number):
                self._tell(number)
            case Begin():
                self._begin(message)
            case Drain():
                self.drain()
        for fd in fds:
            os.close(fd)

    def _begin(self, begin: Begin) -> None:
        self.begin = begin
        answers = HotAnswers(self._marks, lent=self._marks.lent, bytes_max=begin.bytes_max)
        self.hot = HotPath(
            answers, self._known_gate, self._tallies, self._tallies.hit, Quiet(), begin.docs_host
        )
        self._add(self._listener.fileno(), READ, self._accept)
        self._say(messages.encode(Ready()))

    def _known_gate(self) -> Gate | None:
        gate = self._gate
        if gate is None or gate.rules.number != self._marks.number(NETWORKS):
            return None  # there are newer rules, which are on their way
        return gate

    def _log_at(self, level: str) -> None:
        """Load what writes lines only when there are lines to write: it is most of the memory."""
        if level in ("warning", "error"):
            self.hot.log = Quiet()
            return
        from hexhub import logs

        self.hot.log = HotLog(logs.configure(self.begin.log_format, level))

    def _tell(self, number: int = 0) -> None:
        sums = self._tallies.take()
        if sums is None and not number and not self.draining:
            return
        told = Told(sums or Sums(), self.hot.answered, len(self._clients), number)
        self._say(messages.encode(told))

    def _say(self, data: bytes, client: Client | None = None) -> None:
        """A message, perhaps with a client's connection, which is gone from here once it is sent."""
        self._outbox.append((data, client))
        if len(self._outbox) == 1:
            self._post()

    def _post(self) -> None:
        while self._outbox:
            data, client = self._outbox[0]
            fds = [] if client is None else [client.sock.fileno()]
            try:
                sent = messages.send(self._channel, data, fds)
            except OSError:
                os._exit(0)
            if not sent:
                self._epoll.modify(self._channel.fileno(), READ | select.EPOLLOUT)
                return
            self._outbox.popleft()
            if client is not None:
                client.sock.close()
        self._epoll.modify(self._channel.fileno(), READ)

    # Clients

    def _accept(self, events: int) -> None:
        """One at a time: whoever is free takes the next, here or in another process."""
        try:
            sock, address = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:  # no descriptors are left: others may take it; `_sweep` tries again
            self._epoll.modify(self._listener.fileno(), NOTHING)
            return
        peer = str(address[0]) if isinstance(address, tuple) else ""
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._join(sock, peer, asked=False)

    def _join(self, sock: socket.socket, peer: str, *, asked: bool) -> None:
        sock.setblocking(False)
        client = Client(self, sock, peer, asked=asked)
        self._clients[sock.fileno()] = client
        self._add(sock.fileno(), READ, client.ready)
        if self.draining:
            self.hand_over(client, b"")

    def watch(self, client: Client, events: int) -> None:
        self._epoll.modify(client.sock.fileno(), events)

    def hand_over(self, client: Client, data: bytes) -> None:
        """Let the main process go on with a connection, at these bytes."""
        self.forget(client)
        waited_s = 0.0 if client.asked else self.now - client.since
        self._say(messages.encode(Over(client.peer, data, waited_s)), client)

    def forget(self, client: Client) -> None:
        fd = client.sock.fileno()
        if self._clients.pop(fd, None) is not None:
            del self._ready[fd]
            with suppress(OSError):
                self._epoll.unregister(fd)

    def drain(self) -> None:
        """Take no more connections, and hand over each when nothing is on its way."""
        if self.draining:
            return
        self.draining = True
        del self._ready[self._listener.fileno()]
        self._epoll.unregister(self._listener.fileno())
        for client in [each for each in self._clients.values() if each.hit is None]:
            self.hand_over(client, b"")

    def _sweep(self) -> None:
        for client in [each for each in self._clients.values() if each.overdue(self.now)]:
            client.close()
        if not self.draining:
            self._epoll.modify(self._listener.fileno(), READ)


def _shared(fd: int, size: int) -> memoryview:
    try:
        return memoryview(mmap.mmap(fd, size, prot=mmap.PROT_READ))
    finally:
        os.close(fd)


def main(channel: int, listener: int, marks: int) -> None:
    reader = Reader(socket.socket(fileno=channel), socket.socket(fileno=listener), Marks(marks))
    # A terminal and a service manager signal all processes at once: the main one says what to do.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    reader.run()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
