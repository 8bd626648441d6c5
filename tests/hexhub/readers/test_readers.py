"""What readers answer is what holds, whoever accepts, ends or is replaced."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from hexhub.domain import keys, networks, organizations
from hexhub.domain.audit import OPERATOR
from hexhub.readers import keeping
from hexhub.readers.keeping import Readers
from tests.end_to_end.packages import tarball
from tests.hexhub import hubs
from tests.hexhub.hubs import Person, TestHub
from tests.hexhub.raw import Wire, wire

FILES = {"a": b"x" * 100}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TestHub]:
    """A hub whose public port is answered by one reader."""
    async with hubs.running(tmp_path_factory.mktemp("hub"), face="readers") as running:
        yield running
        assert not running.faults, running.faults[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mara(hub: TestHub) -> Person:
    """A user who has published `acorn`, and leads `acme`."""
    mara = await hub.user("mara")
    await hub.organization("acme", mara)
    assert (await mara.publish(tarball("acorn", "1.0.0", FILES))).status == 201
    return mara


def readers(hub: TestHub) -> Readers:
    assert hub.readers is not None
    return hub.readers


async def answered(hub: TestHub) -> int:
    """How many requests readers have answered by themselves."""
    await hub.counted()
    return readers(hub).answered


async def status(connection: Wire, path: str, **headers: str) -> int:
    connection.head("GET", path, **headers)
    return (await connection.answer()).status


async def warm(connection: Wire, path: str, **headers: str) -> None:
    """Have a path asked until the reader knows it and has the connection back."""
    for _ in range(3):
        assert await status(connection, path, **headers) == 200


async def test_a_connection_visits_the_main_process_and_comes_back(
    hub: TestHub, mara: Person
) -> None:
    async with wire(hub.url) as connection:
        await warm(connection, "/packages/acorn")
        before = await answered(hub)
        for _ in range(5):
            assert await status(connection, "/packages/acorn") == 200
        assert await answered(hub) == before + 5
        assert await status(connection, "/api/nothing") == 404
        for _ in range(5):
            assert await status(connection, "/packages/acorn") == 200
        assert await answered(hub) == before + 9


async def test_each_publish_is_there_when_it_is_acknowledged(hub: TestHub, mara: Person) -> None:
    key = mara.authorization or ""
    async with wire(hub.url) as connection:
        for patch in range(12):
            for repository in (None, "acme"):
                data = tarball("birch", f"1.0.{patch}", {"a": os.urandom(100)})
                assert (await mara.publish(data, repository=repository)).status == 201
                prefix = f"/repos/{repository}" if repository else ""
                connection.head("GET", f"{prefix}/packages/birch", authorization=key)
                first = (await connection.answer()).body
                own = await hub.hub.own.get(repository or "hexpm", "packages/birch")
                assert first == own.body
                connection.head("GET", f"{prefix}/packages/birch", authorization=key)
                assert (await connection.answer()).body == first


async def test_a_key_that_is_taken_away_opens_nothing_more(hub: TestHub, mara: Person) -> None:
    nils, olga = await hub.user("nils"), await hub.user("olga")
    for name in ("nils", "olga"):
        await hub.hub.store.transact(
            organizations.add_member, OPERATOR, "acme", name, "read", hub.hub.now()
        )
    await mara.publish(tarball("hidden", "1.0.0", FILES), repository="acme")
    path = "/repos/acme/packages/hidden"
    async with wire(hub.url) as connection:
        for person in (olga, nils):
            await warm(connection, path, authorization=person.authorization or "")
        before = await answered(hub)
        assert await status(connection, path, authorization=nils.authorization or "") == 200
        assert await answered(hub) == before + 1
        assert await status(connection, path) == 404
        await hub.hub.store.revoke(
            organizations.remove_member, OPERATOR, "acme", "nils", hub.hub.now()
        )
        assert await status(connection, path, authorization=nils.authorization or "") == 404
        assert await status(connection, path, authorization=olga.authorization or "") == 200
        await hub.hub.store.revoke(keys.revoke_all, OPERATOR, "user:olga", hub.hub.now())
        assert await status(connection, path, authorization=olga.authorization or "") == 404


async def test_a_blocked_address_is_answered_nothing_more(hub: TestHub, mara: Person) -> None:
    async with wire(hub.url) as connection:
        await warm(connection, "/packages/acorn")
        await hub.hub.store.transact(
            networks.put, OPERATOR, "127.0.0.0/8", "blocked", "", hub.hub.now()
        )
        assert await status(connection, "/packages/acorn") == 403
        await hub.hub.store.transact(networks.forget, OPERATOR, "127.0.0.0/8", hub.hub.now())
        assert await status(connection, "/packages/acorn") == 200


async def test_a_reader_that_dies_is_replaced(hub: TestHub, mara: Person) -> None:
    [pid], before = readers(hub).pids, readers(hub).restarts
    os.kill(pid, signal.SIGKILL)
    await hub.settled(lambda: readers(hub).pids not in ([pid], []))
    assert readers(hub).restarts == before + 1
    async with wire(hub.url) as connection:
        await warm(connection, "/packages/acorn")
        before = await answered(hub)
        assert await status(connection, "/packages/acorn") == 200
        assert await answered(hub) == before + 1


async def test_new_readers_take_over_without_a_lost_connection(hub: TestHub, mara: Person) -> None:
    async with wire(hub.url) as connection:
        await warm(connection, "/packages/acorn")
        [pid], before = readers(hub).pids, readers(hub).restarts
        readers(hub).renew()
        assert await status(connection, "/packages/acorn") == 200
        await hub.settled(lambda: readers(hub).pids not in ([pid], []))
        assert await status(connection, "/packages/acorn") == 200
    assert (await hub.nobody.get("/packages/acorn")).status == 200
    assert readers(hub).restarts == before


@pytest.mark.parametrize("size", [150_000, 3_000_000], ids=["in memory", "in a file"])
async def test_a_slow_client_gets_every_byte_while_readers_end(
    hub: TestHub, mara: Person, size: int
) -> None:
    name = f"large{size}"
    data = tarball(name, "1.0.0", {"data.bin": os.urandom(size)})
    assert (await mara.publish(data)).status == 201
    path = f"/tarballs/{name}-1.0.0.tar"
    for _ in range(3):
        assert (await hub.nobody.get(path)).body == data
    before = await answered(hub)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", int(hub.url.rpartition(":")[2])))
    await loop.sock_sendall(sock, f"GET {path} HTTP/1.1\r\nHost: hub\r\n\r\n".encode())
    received = bytearray(await loop.sock_recv(sock, 1000))
    ending = asyncio.create_task(readers(hub).drain(20.0))
    body = b""
    while len(body) < len(data):
        received += await loop.sock_recv(sock, 50_000)
        body = bytes(received.partition(b"\r\n\r\n")[2])
    assert body == data
    # The main process has the connection now, and goes on with it.
    await loop.sock_sendall(sock, b"GET /names HTTP/1.1\r\nHost: hub\r\n\r\n")
    assert (await loop.sock_recv(sock, 50_000)).startswith(b"HTTP/1.1 200 ")
    sock.close()
    await ending
    assert readers(hub).answered == before + 1
    await readers(hub).start()


async def test_a_client_that_leaves_harms_nobody(hub: TestHub, mara: Person) -> None:
    data = tarball("left", "1.0.0", {"data.bin": os.urandom(3_000_000)})
    await mara.publish(data)
    path, before = "/tarballs/left-1.0.0.tar", readers(hub).restarts
    for _ in range(3):
        async with wire(hub.url) as connection:
            connection.head("GET", path)
            with suppress(ConnectionError):
                await connection.reader.read(100_000)
    assert (await hub.nobody.get(path)).body == data
    assert readers(hub).restarts == before


async def test_metrics_are_those_of_all_processes(hub: TestHub, mara: Person) -> None:
    kind = '{method="GET",route="/versions",status="200"}'
    async with wire(hub.url) as connection:
        for _ in range(7):
            assert await status(connection, "/versions") == 200
        text = (await hub.nobody.get("/metrics")).body.decode()
    assert f"hexhub_http_requests_total{kind} 7.0" in text
    assert 'hexhub_http_request_duration_seconds_count{route="/versions"} 7.0' in text
    assert "hexhub_readers 1.0" in text


async def test_a_request_in_pieces_is_passed_on_as_it_came(hub: TestHub, mara: Person) -> None:
    async with wire(hub.url) as connection:
        await warm(connection, "/packages/acorn")
        connection.send(b"GET /packages/acorn HTTP/1.1\r\nhost: hub\r\nuser-ag")
        assert await connection.silent(0.05)
        connection.send(b"ent: x\r\n\r\nGET /names HTTP/1.1\r\nhost: hub\r\n\r\n")
        assert [(await connection.answer()).status for _ in range(2)] == [200, 200]


async def test_an_upload_through_a_reader_arrives(hub: TestHub, mara: Person) -> None:
    data = tarball("upload", "1.0.0", {"data.bin": os.urandom(2_000_000)})
    async with wire(hub.url) as connection:
        connection.head(
            "POST",
            "/api/publish",
            authorization=mara.authorization or "",
            content_length=str(len(data)),
            content_type="application/octet-stream",
            expect="100-continue",
        )
        assert (await connection.answer()).status == 100
        connection.send(data)
        assert (await connection.answer()).status == 201
        assert await status(connection, "/packages/upload") == 200


@pytest.mark.long
async def test_silence_ends_a_connection(hub: TestHub, mara: Person) -> None:
    await readers(hub).drain(20.0)
    about = readers(hub)._about
    quick = msgspec.structs.replace(about.begin, head_s=0.3, keepalive_s=1.5)
    hasty = Readers(replace(about, begin=quick), 1)
    await hasty.start()
    async with wire(hub.url) as silent, wire(hub.url) as used:
        await warm(used, "/packages/acorn")
        assert await silent.closed()
        assert await status(used, "/packages/acorn") == 200
        assert await used.closed()
    await hasty.drain(20.0)
    await readers(hub).start()


async def test_settings_and_secrets_stay_out_of_readers(hub: TestHub) -> None:
    [pid] = readers(hub).pids
    environment = await asyncio.to_thread(Path(f"/proc/{pid}/environ").read_bytes)
    assert {line.partition(b"=")[0] for line in environment.split(b"\0") if line} <= {
        name.encode() for name in keeping.ENVIRONMENT
    }
