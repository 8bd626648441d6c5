"""Small objects between nodes: sent with their offer, over streams that are used again."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hexhub.errors import StorageFull
from hexhub.storage import Spooled, kept_streams, peers
from tests.hexhub.storage.several import One, several


class Opened:
    """Counts the streams that a node opens."""

    def __init__(self, node: One, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        real = node.streams.open

        def open(*args: Any) -> Any:
            self.count += 1
            return real(*args)

        monkeypatch.setattr(node.streams, "open", open)


def small(node: One, number: int) -> Spooled:
    content = f"object {number} ".encode() * 1000
    path = node.folder / "spool" / f"small{number}"
    return Spooled(path, len(content), hashlib.sha256(content).digest(), content)


async def test_one_stream_carries_one_object_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with several(tmp_path, 2) as nodes:
        opened = Opened(nodes[0], monkeypatch)
        for number in range(5):
            spooled = small(nodes[0], number)
            await nodes[0].storage.put(spooled)
            assert all(node.holds(spooled.checksum) for node in nodes)
            assert await nodes[1].read(spooled.checksum) == spooled.data
        assert opened.count == 1
        assert not any(list((node.folder / "spool").iterdir()) for node in nodes)


async def test_a_stream_that_has_ended_meanwhile_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with several(tmp_path, 2) as nodes:
        opened = Opened(nodes[0], monkeypatch)
        await nodes[0].storage.put(small(nodes[0], 1))
        for task in list(nodes[1].storage._serving):
            task.cancel()
        await nodes[0].storage.put(small(nodes[0], 2))
        assert nodes[1].holds(small(nodes[0], 2).checksum)
        assert opened.count == 2


async def test_who_is_no_member_any_more_is_not_heard_on_an_old_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        several(tmp_path, 2) as nodes,
        nodes[1].streams.open("n1", peers.SERVICE) as (reader, writer),
    ):
        asks = msgspec.msgpack.encode(peers.Get(bytes(32)))
        await writer.write(asks)
        assert await reader.read() is not None
        left = [member for member in nodes[0].members() if member.name != "n2"]
        monkeypatch.setattr(nodes[0].storage, "_members", lambda: left)
        await writer.write(asks)
        assert await reader.read() is None


async def test_a_member_that_does_not_know_of_small_objects_asks_and_gets_it(
    tmp_path: Path,
) -> None:
    got: list[bytes] = []

    async def older(_: object, reader: Any, writer: Any) -> None:
        while (frame := await reader.read()) is not None:
            asked = msgspec.msgpack.decode(frame)
            await writer.write(peers.SEND)
            piece = await reader.read()
            assert len(piece) == asked["size"]
            got.append(piece)
            await writer.write(peers.KEPT)

    async with several(tmp_path, 2) as nodes:
        nodes[1].streams.serve(peers.SERVICE, older)
        for number in range(2):
            await nodes[0].storage.put(small(nodes[0], number))
        assert got == [small(nodes[0], number).data for number in range(2)]


async def test_a_full_disk_elsewhere_is_told_and_the_stream_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with several(tmp_path, 2) as nodes:
        opened = Opened(nodes[0], monkeypatch)
        put = nodes[1].local.put

        async def full(spooled: Spooled) -> None:
            raise StorageFull("full")

        monkeypatch.setattr(nodes[1].local, "put", full)
        with pytest.raises(StorageFull):
            await nodes[0].storage.put(small(nodes[0], 1))
        monkeypatch.setattr(nodes[1].local, "put", put)
        await nodes[0].storage.put(small(nodes[0], 2))
        assert opened.count == 1


async def test_what_is_another_object_than_was_said_is_not_kept(tmp_path: Path) -> None:
    async with several(tmp_path, 2) as nodes:
        async with nodes[0].streams.open("n2", peers.SERVICE) as (reader, writer):
            wrong = peers.Put(bytes(32), 4, data=b"oops")
            await writer.write(msgspec.msgpack.encode(wrong))
            assert await reader.read() is None
        assert not list((nodes[1].folder / "storage").glob("??/*"))


async def test_only_a_few_idle_streams_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_streams, "KEPT_MAX", 1)
    async with several(tmp_path, 2) as nodes:
        puts = [nodes[0].storage.put(small(nodes[0], number)) for number in range(3)]
        await asyncio.gather(*puts)
        assert len(nodes[0].storage._kept._idle["n2"]) == 1
