"""Connections that are slow, broken, or say nothing at all."""

from __future__ import annotations

import pytest

from hexhub.http import server
from tests.hexhub.hubs import Person, TestHub
from tests.hexhub.raw import wire

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def hub(module_hub: TestHub) -> TestHub:
    """One hub for all tests here."""
    return module_hub


@pytest.fixture(scope="module")
def mara(module_mara: Person) -> Person:
    """A user with a key for the API and all repositories."""
    return module_mara


@pytest.mark.parametrize("sent", [b"", b"G", b"GET /api HTTP/1.1\r\nhost: h\r\n", b"\x16\x03\x01"])
async def test_a_head_that_does_not_come_ends_the_connection(
    hub: TestHub, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_S", 0.1)
    async with wire(hub.url) as connection:
        connection.send(sent)
        assert await connection.closed()


async def test_a_head_that_drips_ends_the_connection_too(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_S", 0.2)
    async with wire(hub.url) as connection:
        connection.send(b"GET /api HTTP/1.1\r\nx: ")
        for _ in range(1000):
            connection.send(b"y")
            try:
                assert await connection.silent(0.01), "nothing is said to who asked nothing"
            except ConnectionError:
                break  # a byte met the closed end
            if connection.reader.at_eof():
                break
        else:
            pytest.fail("the hub went on listening")


async def test_one_who_was_answered_may_stay(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_S", 0.1)
    for path in ("/names", "/api"):
        async with wire(hub.url) as connection:
            connection.head("GET", path)
            assert (await connection.answer()).status == 200
            assert await connection.silent(0.3)
            connection.head("GET", path)
            assert (await connection.answer()).status == 200


async def test_a_connection_serves_many_requests(hub: TestHub) -> None:
    async with wire(hub.url) as connection:
        for path, status in (
            ("/api", 200),
            ("/names", 200),
            ("/api/nothing", 404),
            ("/names", 200),
        ):
            connection.head("GET", path)
            assert (await connection.answer()).status == status


async def test_requests_may_be_sent_without_waiting(hub: TestHub) -> None:
    async with wire(hub.url) as connection:
        for path in ("/names", "/api", "/names", "/versions"):
            connection.head("GET", path)
        answers = [await connection.answer() for _ in range(4)]
    assert [answer.status for answer in answers] == [200] * 4
    assert answers[0].body == answers[2].body
    assert answers[1].value["keys_url"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET\r\n\r\n",
        b"GET /api HTTP/9.9\r\nhost: h\r\n\r\n",
        b"NONSENSE /api HTTP/1.1\r\nhost: h\r\n\r\n",
        b"GET /api HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET /api HTTP/1.1\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: h\r\n\r\n",
        b"POST /api/keys HTTP/1.1\r\nhost: h\r\ncontent-length: -1\r\n\r\n",
        b"POST /api/keys HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
        b"POST /api/keys HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n"
        b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
    ],
    ids=[
        "bare",
        "version",
        "verb",
        "header",
        "long header",
        "long path",
        "negative length",
        "two lengths",
        "length and chunks",
        "bytes",
    ],
)
async def test_what_is_no_request_is_400_and_ends_the_connection(
    hub: TestHub, request_bytes: bytes
) -> None:
    async with wire(hub.url) as connection:
        connection.send(request_bytes)
        answer = await connection.answer()
        assert answer.status in (400, 404)
        if answer.status == 400:
            assert await connection.closed()
    assert (await hub.nobody.get("/api")).status == 200


async def test_a_request_of_http_1_0_is_answered_with_a_length(hub: TestHub) -> None:
    """registry.md §5: no surprises of transfer encoding."""
    for path in ("/names", "/public_key", "/api"):
        async with wire(hub.url) as connection:
            connection.send(f"GET {path} HTTP/1.0\r\nuser-agent: a\r\n\r\n".encode())
            answer = await connection.answer()
            assert answer.status == 200
            assert "Transfer-Encoding" not in answer.headers
            assert await connection.closed()


async def test_many_clients_that_hang_up_do_not_hurt(hub: TestHub, mara: Person) -> None:
    for number in range(50):
        async with wire(hub.url) as connection:
            if number % 2:
                connection.head("GET", "/api/packages")
            else:
                connection.head("POST", "/api/publish", content_length="100")
            connection.writer.transport.abort()
    assert (await mara.get("/api/users/me")).status == 200
