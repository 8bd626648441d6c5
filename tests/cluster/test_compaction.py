"""Room of deleted rows and of the cut log comes back to the disk while reads and writes go on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cluster import ClusterError, DiskFull, Node, Transaction, compaction, settings
from cluster.files import used_bytes
from tests.cluster.conftest import OpenNode
from tests.cluster.members import Members, until, written
from tests.cluster.tables import Note, put

LARGE = os.urandom(3000).hex()
COUNT = 500


def add(tx: Transaction, start: int, stop: int) -> None:
    for number in range(start, stop):
        tx.put(Note(shelf="large", title=f"{number:05}", text=LARGE))


def drop(tx: Transaction, start: int, stop: int) -> None:
    for number in range(start, stop):
        if (found := tx.get(Note, "large", f"{number:05}")) is not None:
            tx.delete(found)


async def grow_and_shrink(node: Node) -> None:
    """Three megabytes of rows, of which a thirtieth is left."""
    for start in range(0, COUNT, 50):
        await node.store.transact(add, start, start + 50)
    for start in range(15, COUNT, 50):
        await node.store.transact(drop, start, start + 50)


def titles(node: Node, shelf: str) -> list[str]:
    with node.store.view() as view:
        return [note.title for note in view.scan(Note, shelf)]


async def test_room_comes_back_while_others_write_and_a_view_goes_on(
    open_node: OpenNode, tmp_path: Path
) -> None:
    node = await open_node()
    await grow_and_shrink(node)
    stop = asyncio.Event()
    count = 0

    async def write() -> None:
        nonlocal count
        while not stop.is_set():
            await node.store.transact(put, Note(shelf="busy", title=f"{count:06}"))
            count += 1

    writer = asyncio.create_task(write())
    current = tmp_path / "data/state/CURRENT"
    with node.store.view() as view:
        compacting = asyncio.create_task(node.compact())
        await until(lambda: current.read_text() != "1")
        assert len(list(view.scan(Note, "large"))) == 15
    before, after = await compacting
    stop.set()
    await writer
    assert before > 5 << 20
    assert after < before / 3
    assert after == pytest.approx(used_bytes(tmp_path / "data"), rel=0.3)
    assert len(titles(node, "large")) == 15
    assert titles(node, "busy") == [f"{number:06}" for number in range(count)]
    generation = current.read_text()
    await node.compact()  # again, over what it left
    assert current.read_text() != generation
    await node.close()
    again = await open_node()
    assert titles(again, "busy") == [f"{number:06}" for number in range(count)]
    with again.store.view() as view:
        assert view.count(Note, "large") == 15
        assert [note.title for note in view.find(Note, "author", "")] == [
            note.title for note in view.scan(Note) if note.author == ""
        ]


async def test_it_is_done_by_itself_after_a_snapshot_when_much_is_free(
    open_node: OpenNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "SPARE_BYTES", 1 << 20)
    node = await open_node()
    for start in range(0, COUNT, 50):
        await node.store.transact(add, start, start + 50)
    await node.snapshot()
    assert (tmp_path / "data/state/CURRENT").read_text() == "1", "nothing is free yet"
    for start in range(15, COUNT, 50):
        await node.store.transact(drop, start, start + 50)
    await node.snapshot()
    await until(lambda: (tmp_path / "data/state/CURRENT").read_text() != "1")
    await node.store.transact(put, Note(shelf="a", title="b"))
    assert titles(node, "a") == ["b"]
    assert node.figures().tables < 2 << 20


async def test_without_room_everything_stays_as_it_is(
    open_node: OpenNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await open_node()
    await grow_and_shrink(node)
    monkeypatch.setattr(settings, "free_bytes", lambda path: 0)
    with pytest.raises(DiskFull):
        await node.compact()
    monkeypatch.undo()
    await node.snapshot()
    assert node._opened is not None
    monkeypatch.setattr(
        node._opened.state, "prepare", lambda *_, **__: (_ for _ in ()).throw(OSError("torn"))
    )
    with pytest.raises(ClusterError, match="not made anew"):
        await node.compact()
    monkeypatch.undo()
    assert len(titles(node, "large")) == 15
    await node.store.transact(put, Note(shelf="a", title="b"))
    await node.compact()


async def test_what_a_kill_leaves_of_it_is_cleared_away(
    open_node: OpenNode, tmp_path: Path
) -> None:
    node = await open_node()
    await node.store.transact(put, Note(shelf="a", title="b"))
    await node.close()
    half = tmp_path / "data/state/3"
    half.mkdir()
    (half / "data.mdb").write_bytes(b"half a copy")
    (tmp_path / "data/raft/data.mdb.new").write_bytes(b"half a journal")
    again = await open_node()
    assert titles(again, "a") == ["b"]
    assert not half.exists()
    assert not (tmp_path / "data/raft/data.mdb.new").exists()


@pytest.fixture
async def members(tmp_path: Path) -> AsyncIterator[Members]:
    made = Members(tmp_path)
    yield made
    await made.close()


async def test_each_member_does_it_for_itself(members: Members) -> None:
    three = list(await members.three())
    await grow_and_shrink(three[0])
    for at, node in enumerate(three):
        before, after = await node.compact()
        assert after < before
        await written(three[at - 1], put, Note(shelf="after", title=str(at)))
    for node in three:
        await node.store.barrier()
        assert titles(node, "after") == ["0", "1", "2"]
        assert len(titles(node, "large")) == 15
