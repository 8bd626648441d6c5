"""Objects on several nodes: a quorum first, fetched by whoever lacks one, repaired, swept late."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import time
from pathlib import Path

import pytest

from cluster import NoQuorum
from hexhub.errors import NotFound, StorageFull, Unavailable
from hexhub.storage import peers
from hexhub.storage.local import Damaged
from tests.hexhub.storage.several import several

CONTENT = b"one object " * 200_000
"""More than one piece."""
NAME = hashlib.sha256(CONTENT).digest()


async def test_a_put_returns_once_a_quorum_holds_the_object(tmp_path: Path) -> None:
    async with several(tmp_path, 3) as nodes:
        await nodes[0].storage.put(nodes[0].spooled(CONTENT))
        assert sum(node.holds(NAME) for node in nodes) >= 2
        for node in nodes:
            assert await node.read(NAME) == CONTENT
        assert all(node.holds(NAME) for node in nodes)
        assert not any(list((node.folder / "spool").iterdir()) for node in nodes)


async def test_a_put_goes_on_while_a_minority_is_away(tmp_path: Path) -> None:
    async with several(tmp_path, 3) as nodes:
        nodes[2].stop_answering()
        await nodes[0].storage.put(nodes[0].spooled(CONTENT))
        assert nodes[1].holds(NAME)


async def test_without_a_quorum_a_put_is_refused(tmp_path: Path) -> None:
    async with several(tmp_path, 3) as nodes:
        nodes[1].stop_answering()
        nodes[2].stop_answering()
        with pytest.raises(NoQuorum):
            await nodes[0].storage.put(nodes[0].spooled(CONTENT))


async def test_a_member_that_joins_does_not_count_yet(tmp_path: Path) -> None:
    async with several(tmp_path, 3) as nodes:
        nodes[1].role = nodes[2].role = "joining"
        for node in nodes[1:]:
            node.stop_answering()
        await nodes[0].storage.put(nodes[0].spooled(CONTENT))


async def test_a_member_that_stalls_counts_as_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "STEP_S", 0.2)
    async with several(tmp_path, 3) as nodes:
        for node in nodes[1:]:
            node.streams.serve(peers.SERVICE, lambda *_: asyncio.sleep(30))
        with pytest.raises(NoQuorum):
            await nodes[0].storage.put(nodes[0].spooled(CONTENT))


async def test_a_full_disk_on_the_others_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with several(tmp_path, 3) as nodes:

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "no room")

        for node in nodes[1:]:
            monkeypatch.setattr(node.local, "_put", full)
        with pytest.raises(StorageFull):
            await nodes[0].storage.put(nodes[0].spooled(CONTENT))


async def test_what_is_there_already_is_not_sent_again_and_is_young_again(tmp_path: Path) -> None:
    async with several(tmp_path, 2) as nodes:
        await nodes[0].storage.put(nodes[0].spooled(CONTENT))
        old = time.time() - 1000
        os.utime(nodes[1].path(NAME), (old, old))
        before = nodes[1].path(NAME).stat()
        await nodes[0].storage.put(nodes[0].spooled(CONTENT))
        after = nodes[1].path(NAME).stat()
        assert after.st_ino == before.st_ino
        assert after.st_mtime > before.st_mtime


async def test_an_early_read_fetches_the_object_once(tmp_path: Path) -> None:
    async with several(tmp_path, 3) as nodes:
        await nodes[0].storage.keep(nodes[0].spooled(CONTENT))
        assert not nodes[1].holds(NAME)
        read = await asyncio.gather(*(nodes[1].read(NAME) for _ in range(5)))
        assert read == [CONTENT] * 5
        assert nodes[1].holds(NAME)


async def test_what_nobody_has_is_not_found(tmp_path: Path) -> None:
    async with several(tmp_path, 2) as nodes:
        with pytest.raises(NotFound):
            await nodes[0].storage.open(NAME)


async def test_an_early_read_gives_up_with_a_typed_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "EARLY_READ_S", 0.1)
    async with several(tmp_path, 2) as nodes:
        nodes[1].streams.serve(peers.SERVICE, lambda *_: asyncio.sleep(30))
        with pytest.raises(Unavailable, match="on its way"):
            await nodes[0].storage.open(NAME)


async def test_a_damaged_copy_is_repaired_from_a_peer(tmp_path: Path) -> None:
    async with several(tmp_path, 2) as nodes:
        await nodes[0].storage.put(nodes[0].spooled(CONTENT))
        nodes[1].path(NAME).write_bytes(b"x" + CONTENT[1:])
        nodes[1].local._verified.clear()
        assert await nodes[1].read(NAME) == CONTENT
        assert nodes[1].path(NAME).read_bytes() == CONTENT
        assert nodes[1].storage.damaged == 0


async def test_a_damaged_copy_is_never_passed_on(tmp_path: Path) -> None:
    async with several(tmp_path, 2) as nodes:
        await nodes[0].storage.put(nodes[0].spooled(CONTENT))
        for node in nodes:
            node.path(NAME).write_bytes(b"x" + CONTENT[1:])
            node.local._verified.clear()
        with pytest.raises(Damaged):
            await nodes[1].storage.open(NAME)
        assert nodes[1].storage.damaged == 1


async def test_a_peer_that_sends_another_object_is_not_believed(tmp_path: Path) -> None:
    async with several(tmp_path, 2) as nodes:
        await nodes[0].storage.put(nodes[0].spooled(CONTENT))
        nodes[0].path(NAME).write_bytes(b"x" + CONTENT[1:])  # verified before: it is sent
        nodes[1].path(NAME).unlink()
        with pytest.raises(NotFound):
            await nodes[1].storage.open(NAME)
        assert not nodes[1].holds(NAME)


async def test_a_storage_that_is_closed_answers_no_peer_any_more(tmp_path: Path) -> None:
    async with several(tmp_path, 2) as nodes:
        await nodes[0].storage.put(nodes[0].spooled(CONTENT))
        async with nodes[0].streams.open("n2", peers.SERVICE) as (reader, _):
            await nodes[1].read(NAME)
            await nodes[1].storage.close()
            assert await reader.read() is None
        nodes[0].path(NAME).unlink()
        with pytest.raises(NotFound):
            await nodes[0].storage.open(NAME)


async def test_a_sweep_waits_for_a_member_that_is_away_or_behind(tmp_path: Path) -> None:
    async with several(tmp_path, 2) as nodes:
        await nodes[0].storage.put(nodes[0].spooled(CONTENT))
        nodes[0].applied = nodes[1].applied = 7

        async def swept(applied: int) -> int:
            return await nodes[0].storage.sweep([], older_than_s=-1, applied=applied)

        assert await swept(8) == 0
        nodes[1].reachable = False
        assert await swept(7) == 0
        nodes[1].reachable = True
        assert await swept(7) == 1
        assert not nodes[0].holds(NAME)


@pytest.mark.parametrize("frame", [b"", b"\xc1", b"\x01", b"\x93\xa3Get\x01\x02"])
async def test_a_peer_that_makes_no_sense_is_hung_up_on(tmp_path: Path, frame: bytes) -> None:
    async with (
        several(tmp_path, 2) as nodes,
        nodes[0].streams.open("n2", peers.SERVICE) as (reader, writer),
    ):
        await writer.write(frame)
        assert await reader.read() is None
