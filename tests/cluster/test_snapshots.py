"""Snapshots: whole, taken beside the writes, what the journal is cut behind, and a way back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cluster import ClusterError, Damaged, DataInUse, Node, restore, snapshots
from cluster.disk import Log
from cluster.files import replace_file
from cluster.journal import Journal
from tests.cluster.conftest import OpenNode
from tests.cluster.tables import Counter, Note, increment, put


def journal_of(data: Path) -> Journal:
    return Journal(Log(data / "raft", map_size=1 << 20))


def value(node: Node, name: str) -> int:
    with node.store.view() as view:
        found = view.get(Counter, name)
        return found.value if found else 0


async def test_a_snapshot_becomes_a_new_cluster_elsewhere(
    open_node: OpenNode, tmp_path: Path
) -> None:
    node = await open_node()
    for _ in range(3):
        await node.store.transact(increment, "c")
    folder = await node.snapshot()
    await node.store.transact(increment, "c")
    index = restore(tmp_path / "copy", folder, name="n2")
    assert index < node.store.applied
    copy = await open_node(directory=tmp_path / "copy")
    assert value(copy, "c") == 3
    assert await copy.store.transact(increment, "c") == 4
    assert copy.status().cluster != node.status().cluster
    assert copy.store.applied > index
    await copy.close()
    again = await open_node(directory=tmp_path / "copy")
    assert value(again, "c") == 4


async def test_a_snapshot_is_only_restored_into_an_empty_directory(
    open_node: OpenNode, tmp_path: Path
) -> None:
    node = await open_node()
    folder = await node.snapshot()
    with pytest.raises(DataInUse, match="not empty"):
        restore(tmp_path / "data", folder, name="n2")
    (tmp_path / "empty").mkdir()
    restore(tmp_path / "empty", folder, name="n2")
    with pytest.raises(Damaged, match="no META"):
        restore(tmp_path / "other", tmp_path, name="n2")


async def test_a_restore_that_was_cut_off_can_be_done_again(
    open_node: OpenNode, tmp_path: Path
) -> None:
    node = await open_node()
    folder = await node.snapshot()
    half = tmp_path / "copy.restoring" / "state" / "1"
    half.mkdir(parents=True)
    (half / "data.mdb").write_bytes(b"half")
    restore(tmp_path / "copy", folder, name="n2")
    await open_node(directory=tmp_path / "copy")


async def test_a_damaged_snapshot_is_not_restored(open_node: OpenNode, tmp_path: Path) -> None:
    node = await open_node()
    await node.store.transact(put, Note(shelf="a", title="b", text="somebody wrote this"))
    folder = await node.snapshot()
    meta = snapshots.load(folder)
    assert meta is not None
    file = folder / meta.file
    file.write_bytes(file.read_bytes().replace(b"wrote", b"wr0te"))
    with pytest.raises(Damaged, match="not what was written"):
        restore(tmp_path / "copy", folder, name="n2")
    assert not (tmp_path / "copy").exists()
    file.unlink()
    with pytest.raises(Damaged, match="missing"):
        restore(tmp_path / "copy", folder, name="n2")
    replace_file(folder / "META", b"{}")
    with pytest.raises(Damaged, match="META"):
        restore(tmp_path / "copy", folder, name="n2")


async def test_the_journal_is_cut_behind_a_snapshot(open_node: OpenNode, tmp_path: Path) -> None:
    node = await open_node(snapshot_entries=40)
    for _ in range(150):
        await node.store.transact(increment, "c")
    await node.snapshot()
    await node.close()
    journal = journal_of(tmp_path / "data")
    assert len(journal) < 60
    assert journal.first_index > 90
    journal.close()
    node = await open_node()
    assert value(node, "c") == 150


async def test_the_journal_is_cut_by_bytes_too(open_node: OpenNode, tmp_path: Path) -> None:
    node = await open_node(snapshot_bytes=200_000, map_size=64 << 10)
    for at in range(40):
        await node.store.transact(put, Note(shelf="a", title="t", text=str(at % 10) * 20_000))
    await node.snapshot()
    await node.close()
    journal = journal_of(tmp_path / "data")
    assert journal.bytes < 300_000
    journal.close()
    node = await open_node()
    with node.store.view() as view:
        [note] = view.scan(Note)
        assert note.text == "9" * 20_000


async def test_only_the_newest_snapshot_is_kept(open_node: OpenNode, tmp_path: Path) -> None:
    node = await open_node()
    for _ in range(3):
        await node.store.transact(increment, "c")
        await node.snapshot()
    await node.close()
    assert len(list((tmp_path / "data" / "snapshots").iterdir())) == 2


async def test_writes_go_on_while_a_snapshot_is_taken(open_node: OpenNode) -> None:
    node = await open_node(map_size=64 << 10)

    async def write() -> None:
        for at in range(60):
            await node.store.transact(put, Note(shelf="a", title=str(at), text="x" * 5000))

    taken, _ = await asyncio.gather(asyncio.gather(*(node.snapshot() for _ in range(5))), write())
    assert len(set(taken)) == 1
    with node.store.view() as view:
        assert view.count(Note) == 60


async def test_a_snapshot_that_fails_says_so_and_the_node_goes_on(
    open_node: OpenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await open_node()
    await node.store.transact(increment, "c")
    with monkeypatch.context() as patch:
        patch.setattr("cluster.settings.free_bytes", lambda path: -1)
        with pytest.raises(ClusterError, match="snapshot"):
            await node.snapshot()
    with monkeypatch.context() as patch:

        def broken(path: Path, content: bytes) -> None:
            raise OSError("no")

        patch.setattr(snapshots, "replace_file", broken)
        with pytest.raises(ClusterError, match="snapshot"):
            await node.snapshot()
    await node.store.transact(increment, "c")
    assert (await node.snapshot()).is_dir()
