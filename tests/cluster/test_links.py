"""What comes in on the cluster port: proved first, then parsed; frames whole, in order, bounded."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, strategies

from cluster import LinkRefused, links
from cluster.links import Address, Dialing, Hello, Link, answer, key_of
from cluster.streams import FRAME_BYTES_MAX, FrameReader, FrameWriter, StreamPeer, Streams

SECRET = b"a secret of the whole cluster"
ANY: Address = ("127.0.0.1", 0)


def hello(name: str, **more: object) -> Hello:
    fields = {"cluster": "c", "version": "1", "schema": 1, "address": ("127.0.0.1", 1)}
    return Hello(name=name, member=f"0/{name}", **{**fields, **more})  # type: ignore[arg-type]


def streams(name: str, secret: bytes = SECRET, **more: object) -> Streams:
    def refuses(peer: Hello) -> tuple[str, bool]:
        return ("", False) if peer.cluster == "c" else ("of another cluster", peer.name == "gone")

    return Streams(
        secret,
        hello=lambda: hello(name, **more),
        refuses=refuses,
        resolve=lambda member: None,
        on_raft=Link.close,
    )


async def echo(peer: StreamPeer, reader: FrameReader, writer: FrameWriter) -> None:
    while (frame := await reader.read()) is not None:
        await writer.write(peer.name.encode() + b":" + frame)


@pytest.fixture
async def served() -> AsyncIterator[Address]:
    one = streams("one")
    one.serve("echo", echo)
    one.serve("open echo", echo, open=True)
    yield await one.listen(ANY)
    await one.close()


async def test_frames_arrive_whole_and_in_order(served: Address) -> None:
    async with streams("two").open(served, "echo") as (reader, writer):
        for size in (0, 1, 1000, FRAME_BYTES_MAX - 4):
            await writer.write(b"x" * size)
            assert await reader.read() == b"two:" + b"x" * size


async def test_a_frame_too_large_is_not_sent(served: Address) -> None:
    async with streams("two").open(served, "echo") as (_, writer):
        with pytest.raises(ValueError, match="more than"):
            await writer.write(b"x" * (FRAME_BYTES_MAX + 1))


async def test_a_frame_too_large_is_not_read(served: Address) -> None:
    link = await streams("two").dial(served, "echo")
    await link.write(b"x" * (FRAME_BYTES_MAX + 1))
    with suppress(ConnectionResetError):
        assert await link.read() is None
    link.close()


async def test_another_secret_is_refused_with_words(served: Address) -> None:
    with pytest.raises(LinkRefused, match="secret"):
        await streams("two", b"the secret of another cluster").dial(served, "echo")


async def test_another_cluster_is_refused_with_words(served: Address) -> None:
    with pytest.raises(LinkRefused, match="of another cluster"):
        await streams("two", cluster="d").dial(served, "echo")


async def test_a_removed_member_is_told_so(served: Address) -> None:
    with pytest.raises(LinkRefused) as refused:
        await streams("gone", cluster="d").dial(served, "echo")
    assert refused.value.removed


async def test_an_open_stream_takes_whoever_holds_the_secret(served: Address) -> None:
    async with streams("two", cluster="").open(served, "open echo") as (reader, writer):
        await writer.write(b"hi")
        assert await reader.read() == b"two:hi"


async def test_an_unknown_stream_is_refused_with_words(served: Address) -> None:
    with pytest.raises(LinkRefused, match="serves no blobs"):
        await streams("two").dial(served, "blobs")


async def test_another_protocol_is_refused_with_words(served: Address) -> None:
    with pytest.raises(LinkRefused):
        await streams("two", protocol=links.PROTOCOL + 1).dial(served, "echo")


async def test_a_secret_too_short_is_refused() -> None:
    with pytest.raises(LinkRefused, match="shorter"):
        streams("two", b"short")


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\n\r\n" * 10, b"\x80\x04" * 100, b"HXL1" + b"\0" * 64, b""]
)
async def test_nothing_of_a_stranger_is_parsed(
    served: Address, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing:
        def decode(self, frame: bytes) -> Hello:
            raise AssertionError("parsed")

    monkeypatch.setattr(links, "_hello", Refusing())
    loop = asyncio.get_running_loop()
    with socket.socket() as stranger:
        stranger.setblocking(False)
        await loop.sock_connect(stranger, served)
        await loop.sock_sendall(stranger, sent)
        stranger.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            assert await loop.sock_recv(stranger, 1) == b""


async def test_a_dialer_that_says_nothing_is_hung_up_on(
    served: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "HANDSHAKE_SECONDS", 0.05)
    loop = asyncio.get_running_loop()
    with socket.socket() as stranger:
        stranger.setblocking(False)
        await loop.sock_connect(stranger, served)
        assert await loop.sock_recv(stranger, 1) == b""


async def test_what_is_written_waits_for_a_reader() -> None:
    reading = asyncio.Event()

    async def slow(peer: StreamPeer, reader: FrameReader, writer: FrameWriter) -> None:
        await reading.wait()
        while await reader.read() is not None:
            pass

    one = streams("one")
    one.serve("slow", slow)
    address = await one.listen(ANY)
    sent = 0

    async def write(writer: FrameWriter) -> None:
        nonlocal sent
        for _ in range(64):
            await writer.write(b"x" * FRAME_BYTES_MAX)
            sent += 1

    async with streams("two").open(address, "slow") as (_, writer):
        writing = asyncio.create_task(write(writer))
        await asyncio.sleep(0.1)
        assert sent < 64
        reading.set()
        await writing
    await one.close()


def pair() -> tuple[links.Seal, links.Seal]:
    dialing = Dialing(key_of(SECRET))
    back, answering = answer(key_of(SECRET), dialing.first)
    return dialing.finish(back), answering


def test_a_frame_is_opened_once_and_only_in_its_turn() -> None:
    mine, theirs = pair()
    first, second = mine.seal(b"first")[4:], mine.seal(b"second")[4:]
    with pytest.raises(LinkRefused):
        theirs.open(second)
    assert theirs.open(first) == b"first"
    with pytest.raises(LinkRefused):
        theirs.open(first)
    with pytest.raises(LinkRefused):
        mine.open(second)


def test_a_frame_of_one_connection_opens_in_no_other() -> None:
    (mine, _), (_, theirs) = pair(), pair()
    with pytest.raises(LinkRefused):
        theirs.open(mine.seal(b"frame")[4:])


@given(strategies.binary(max_size=200), strategies.integers(0), strategies.integers(1, 255))
def test_a_changed_frame_is_refused(content: bytes, at: int, change: int) -> None:
    mine, theirs = pair()
    sealed = bytearray(mine.seal(content)[4:])
    sealed[at % len(sealed)] ^= change
    with pytest.raises(LinkRefused):
        theirs.open(bytes(sealed))


@given(strategies.binary(max_size=100))
def test_first_bytes_that_prove_nothing_are_refused(first: bytes) -> None:
    with pytest.raises(LinkRefused):
        answer(key_of(SECRET), first)


@given(strategies.integers(0, 67), strategies.integers(1, 255))
def test_a_changed_handshake_is_refused(at: int, change: int) -> None:
    dialing = Dialing(key_of(SECRET))
    first = bytearray(dialing.first)
    first[at] ^= change
    with pytest.raises(LinkRefused):
        answer(key_of(SECRET), bytes(first))


def test_a_dialer_with_a_key_of_zeros_is_refused() -> None:
    head = links.MAGIC + bytes(32)
    proof = links._proof(key_of(SECRET), b"dial", head)
    with pytest.raises(LinkRefused):
        answer(key_of(SECRET), head + proof)


@pytest.mark.parametrize("greet", [lambda: b"", lambda: b"\xc1", lambda: msgspec.msgpack.encode(7)])
async def test_a_greeting_that_is_none_is_refused(
    served: Address, greet: Callable[[], bytes]
) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as raw:
        raw.setblocking(False)
        await loop.sock_connect(raw, served)
        dialing = Dialing(key_of(SECRET))
        await loop.sock_sendall(raw, dialing.first)
        received = await links._receive(raw, 64)
        assert received is not None
        link = Link(raw, dialing.finish(received), hello("two"))
        await link.write(greet())
        with suppress(ConnectionResetError):
            assert await link.read() is None
