"""Established connections to the other members, on the tick thread: nothing here waits.

Frames in and out through buffers that grow linearly; what the kernel does not take is written
when it does (H8). One wire a member: a newer one ends the older (C11).
"""

from __future__ import annotations

import logging
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from cluster.errors import LinkRefused
from cluster.links import FRAME_BYTES_MAX, TAG_BYTES, Link

log = logging.getLogger(__name__)

READABLE: Final = 1
WRITABLE: Final = 2
BROKEN: Final = 4
"""PySyncObj's POLL_EVENT_TYPE."""

READ_BYTES_MAX: Final = 4 << 20
"""Taken from one wire before others get their turn."""
RECEIVE_BYTES: Final = 256 << 10
PARTS_MAX: Final = 64
SILENT_SECONDS: Final = 2.0
HELD_UP_SECONDS: Final = 0.3
KEPT_BYTES_MAX: Final = 1 << 20


class Poller(Protocol):
    """What says which sockets are ready."""

    def subscribe(
        self, descr: int, callback: Callable[[int, int], None], eventMask: int
    ) -> None: ...
    def unsubscribe(self, descr: int) -> None: ...


class Wire:
    """One connection to one member."""

    def __init__(
        self,
        link: Link,
        poller: Poller,
        on_frame: Callable[[bytes], None],
        on_end: Callable[[], None],
    ) -> None:
        self.open = True
        self.backlog = 0
        self.heard = time.monotonic()
        self._seal = link.seal
        self._socket = link.socket
        self._poller = poller
        self._on_frame = on_frame
        self._on_end = on_end
        self._out: deque[memoryview] = deque()
        self._in = bytearray()
        self._at = 0
        self._writing = False
        poller.subscribe(self._socket.fileno(), self._event, READABLE | BROKEN)

    def send(self, content: bytes) -> bool:
        """Put a frame on its way; False when the connection has ended."""
        if not self.open:
            return False
        frame = self._seal.seal(content)
        self._out.append(memoryview(frame))
        self.backlog += len(frame)
        if not self._writing:
            self._flush()
        return self.open

    def end(self) -> None:
        """Close it; `on_end` is called once."""
        if not self.open:
            return
        self.open = False
        self._poller.unsubscribe(self._socket.fileno())
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._out.clear()
        self.backlog = 0
        self._on_end()

    def _event(self, _: int, events: int) -> None:
        if not self.open:
            return
        if events & READABLE:
            self._receive()
        if self.open and events & WRITABLE:
            self._flush()
        if self.open and events & BROKEN and not events & READABLE:
            self.end()

    def _flush(self) -> None:
        try:
            while self._out:
                parts = [self._out[at] for at in range(min(PARTS_MAX, len(self._out)))]
                self._sent(self._socket.sendmsg(parts))
        except BlockingIOError:
            pass
        except OSError as error:
            log.info("a connection broke: %s", error)
            self.end()
            return
        if self._writing != bool(self._out):
            self._writing = bool(self._out)
            events = READABLE | BROKEN | (WRITABLE if self._writing else 0)
            self._poller.subscribe(self._socket.fileno(), self._event, events)

    def _sent(self, count: int) -> None:
        self.backlog -= count
        while count:
            first = self._out[0]
            if count < len(first):
                self._out[0] = first[count:]
                return
            count -= len(first)
            self._out.popleft()

    def _receive(self) -> None:
        got, ended = 0, False
        try:
            while got < READ_BYTES_MAX:
                more = self._socket.recv(RECEIVE_BYTES)
                if not more:
                    ended = True
                    break
                self._in += more
                got += len(more)
        except BlockingIOError:
            pass
        except OSError as error:
            log.info("a connection broke: %s", error)
            ended = True
        if got:
            self.heard = time.monotonic()
            self._frames()
        if ended:
            self.end()

    def _frames(self) -> None:
        while self.open and len(self._in) - self._at >= 4:
            start = self._at + 4
            length = int.from_bytes(self._in[self._at : start], "big")
            if not TAG_BYTES <= length <= FRAME_BYTES_MAX + TAG_BYTES:
                log.warning("a frame of %d bytes: the connection is ended", length)
                self.end()
                return
            if len(self._in) < start + length:
                break
            try:
                with memoryview(self._in) as view:
                    content = self._seal.open(bytes(view[start : start + length]))
                self._at = start + length
                self._on_frame(content)
            except LinkRefused as error:
                log.warning("a connection is ended: %s", error)
                self.end()
        if self._at == len(self._in):
            self._in.clear()
            self._at = 0
        elif self._at > KEPT_BYTES_MAX:
            del self._in[: self._at]
            self._at = 0


class Wires:
    """The wires of one member, by the id of who is at the other end."""

    def __init__(
        self,
        poller: Poller,
        *,
        connected: Callable[[str], None],
        ended: Callable[[str], None],
        receive: Callable[[str, bytes], None],
    ) -> None:
        self._poller = poller
        self._connected = connected
        self._ended = ended
        self._receive = receive
        self._wires: dict[str, Wire] = {}
        self._looked = time.monotonic()

    def adopt(self, link: Link) -> None:
        """Take over a greeted connection to a member."""
        member = link.peer.member
        self.drop(member)
        wire = Wire(
            link,
            self._poller,
            lambda content: self._receive(member, content),
            lambda: self._on_end(member, wire),
        )
        self._wires[member] = wire
        self._connected(member)

    def send(self, member: str, content: bytes) -> bool:
        wire = self._wires.get(member)
        return wire is not None and wire.send(content)

    def backlog(self, member: str) -> int:
        """Bytes that wait for the kernel."""
        wire = self._wires.get(member)
        return 0 if wire is None else wire.backlog

    def has(self, member: str) -> bool:
        return member in self._wires

    def drop(self, member: str) -> None:
        if (wire := self._wires.get(member)) is not None:
            wire.end()

    def end_silent(self) -> None:
        """Close what has not been heard for long: pings come ten times a second.

        A time in which nobody looked, for this thread was held up, is not one of silence.
        """
        now = time.monotonic()
        held_up, self._looked = now - self._looked, now
        for wire in list(self._wires.values()):
            if held_up > HELD_UP_SECONDS:
                wire.heard += held_up
            if wire.heard < now - SILENT_SECONDS:
                log.info("a connection ends: nothing was heard for %.1f s", now - wire.heard)
                wire.end()

    def close(self) -> None:
        for wire in list(self._wires.values()):
            wire.end()

    def _on_end(self, member: str, wire: Wire) -> None:
        if self._wires.get(member) is wire:
            del self._wires[member]
            self._ended(member)
