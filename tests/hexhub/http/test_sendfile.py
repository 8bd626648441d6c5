"""Large objects arrive whole, whatever the client's pace, and one that leaves harms nobody."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress

import pytest

from hexhub.http import sendfile
from tests.end_to_end.packages import tarball
from tests.hexhub.hubs import Person, TestHub

PATH = "/tarballs/large-1.0.0.tar"


async def published(mara: Person) -> bytes:
    data = tarball("large", "1.0.0", {"data.bin": os.urandom(3_000_000)})
    assert (await mara.publish(data)).status == 201
    return data


async def slow_client(
    hub: TestHub, *, stop_after: int | None = None, pause_s: float = 0.0
) -> bytes:
    """A client with a tiny window that reads a little at a time, or goes away."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    port = int(hub.url.rpartition(":")[2])
    try:
        await loop.sock_connect(sock, ("127.0.0.1", port))
        request = f"GET {PATH} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n"
        await loop.sock_sendall(sock, request.encode())
        await asyncio.sleep(pause_s)
        received = bytearray()
        with suppress(ConnectionError):
            while piece := await loop.sock_recv(sock, 50_000):
                received += piece
                if stop_after is not None and len(received) > stop_after:
                    break
        return bytes(received.partition(b"\r\n\r\n")[2])
    finally:
        sock.close()


async def test_a_large_tarball_arrives_whole(hub: TestHub, mara: Person) -> None:
    data = await published(mara)
    for _ in range(2):
        answer = await hub.nobody.get(PATH)
        assert answer.headers["Content-Length"] == str(len(data))
        assert answer.body == data


async def test_many_at_once_arrive_whole(hub: TestHub, mara: Person) -> None:
    data = await published(mara)
    answers = await asyncio.gather(*(hub.nobody.get(PATH) for _ in range(8)))
    assert all(answer.body == data for answer in answers)


async def test_a_slow_client_gets_every_byte(hub: TestHub, mara: Person) -> None:
    data = await published(mara)
    assert await slow_client(hub) == data


async def test_a_part_of_a_large_tarball(hub: TestHub, mara: Person) -> None:
    data = await published(mara)
    answer = await hub.nobody.get(PATH, Range="bytes=1000000-2999999")
    assert answer.status == 206
    assert answer.body == data[1_000_000:3_000_000]
    last = await hub.nobody.get(PATH, Range="bytes=-5")
    assert last.body == data[-5:]


async def test_a_client_that_takes_nothing_is_let_go(
    hub: TestHub, mara: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = await published(mara)
    monkeypatch.setattr(sendfile, "STALL_S", 0.2)
    received = await slow_client(hub, pause_s=1.0)
    assert len(received) < len(data)
    assert hub.faults == []


async def test_a_client_that_leaves_is_no_fault(hub: TestHub, mara: Person) -> None:
    data = await published(mara)
    await slow_client(hub, stop_after=100_000)
    assert (await hub.nobody.get(PATH)).body == data
    assert hub.faults == []
