"""A part of a file to a plain connection by the kernel, so that its bytes never pass the process."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from aiohttp.web import BaseRequest, StreamResponse

from hexhub.http.wire import STALL_S as STALL_S

FIRST = 16 * 1024
"""Sent together with the head, the ordinary way."""
TURN = 1 << 20
"""Bytes before others get their turn."""


def possible(request: BaseRequest) -> bool:
    """Whether the connection is one that the kernel can write to: not one with TLS."""
    transport = request.transport
    return (
        hasattr(os, "sendfile")
        and transport is not None
        and transport.get_extra_info("sslcontext") is None
        and transport.get_extra_info("socket") is not None
    )


async def send(
    request: BaseRequest, response: StreamResponse, path: Path, start: int, end: int
) -> int:
    """Send the bytes from `start` up to `end` after a prepared head; how far it came.

    It may stop early when the connection is slow from the first bytes on; the rest is then to be
    sent the ordinary way. Raises ConnectionError when the client is gone, TimeoutError when it
    takes nothing.
    """
    file, first = await asyncio.to_thread(_open, path, start, min(end, start + FIRST))
    try:
        await response.write(first)
        start += len(first)
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        if start == end or transport.get_write_buffer_size():
            return start
        # A second number for the same socket: the loop keeps the first one to itself.
        sock = os.dup(transport.get_extra_info("socket").fileno())
        try:
            return await _send(sock, file, start, end)
        finally:
            os.close(sock)
    finally:
        os.close(file)


def _open(path: Path, start: int, end: int) -> tuple[int, bytes]:
    file = os.open(path, os.O_RDONLY)
    try:
        return file, os.pread(file, end - start, start)
    except BaseException:
        os.close(file)
        raise


async def _send(sock: int, file: int, start: int, end: int) -> int:
    while start < end:
        try:
            sent = os.sendfile(sock, file, start, min(TURN, end - start))
        except BlockingIOError:
            await writable(sock)
            continue
        if sent == 0:
            return start
        start += sent
        await asyncio.sleep(0)
    return start


async def writable(sock: int) -> None:
    """Wait until the socket takes bytes again. Raises TimeoutError when it does not."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(sock, ready.set)
    try:
        async with asyncio.timeout(STALL_S):
            await ready.wait()
    finally:
        loop.remove_writer(sock)
