"""Bytes and files written straight to a socket that does not block, and how long clients may take."""

from __future__ import annotations

import os
import socket
from typing import TypeAlias

Body: TypeAlias = "bytes | memoryview"

HEAD_S = 20.0
"""A new connection that has not sent a whole head by then is closed."""
KEEPALIVE_S = 75.0
STALL_S = 60.0
"""A client that takes nothing for so long is taken for gone."""
JOINED_MAX = 8 * 1024
"""Bodies up to here are cheaper copied behind their head than sent in two parts."""
MSG_MORE = getattr(socket, "MSG_MORE", 0)
"""Says that more follows at once; 0 where the system cannot be told."""
TURN = 2 << 20
"""Bytes of a file before others get their turn."""


def write(fd: int, head: Body, body: Body) -> tuple[Body, ...]:
    """Write as much as the socket takes; what is left. Raises OSError when the client is gone."""
    try:
        if len(body) <= JOINED_MAX:
            data = b"".join((head, body)) if body else head
            sent = os.write(fd, data)
            return () if sent == len(data) else (memoryview(data)[sent:],)
        sent = os.writev(fd, (head, body))
    except BlockingIOError:
        return head, body
    if sent < len(head):
        return memoryview(head)[sent:], body
    sent -= len(head)
    return () if sent == len(body) else (memoryview(body)[sent:],)


def open_file(path: str, size: int) -> int | None:
    """A descriptor of this file; None when it is gone, or not of this size."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    if os.fstat(fd).st_size == size:
        return fd
    os.close(fd)
    return None


def _write_more(fd: int, data: bytes) -> int:
    """Write what is not the last; how much the socket took.

    A head sent by itself wakes the client, which then reads while the file arrives: TCP's work is
    done piece by piece whenever the client lets go of its end, at half the speed.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=fd)
    try:
        return sock.send(data, MSG_MORE)
    finally:
        sock.detach()


class Sending:
    """A head and a file on their way to a socket. Closes the file when it is done."""

    def __init__(self, head: bytes, file: int, size: int) -> None:
        self._head: bytes = head
        self._file = file
        self._at = 0
        self._size = size

    def go(self, fd: int) -> bool:
        """Send what the socket takes; whether that was all. Raises OSError when the client is gone."""
        try:
            while self._head:
                self._head = self._head[_write_more(fd, self._head) :]
            while self._at < self._size:
                sent = os.sendfile(fd, self._file, self._at, min(TURN, self._size - self._at))
                if sent == 0:
                    raise OSError("the file ended early")
                self._at += sent
        except BlockingIOError:
            return False
        self.close()
        return True

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
