"""Starting on what a crash or a hand left behind: put right, or refused with words that help."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster import Damaged, DataInUse, Node, restore
from cluster.disk import Log, State
from cluster.files import replace_file
from cluster.journal import Journal
from tests.cluster.conftest import OpenNode
from tests.cluster.tables import Counter, Note, increment, put

Hand = Callable[[Path], None]


async def written(open_node: OpenNode, *, snapshot: bool = False, count: int = 5) -> None:
    node = await open_node()
    for at in range(count):
        await node.store.transact(put, Note(shelf="s", title=str(at), author="ann"))
    if snapshot:
        await node.snapshot()
        for _ in range(count):
            await node.store.transact(increment, "after")
    await node.close()


def titles(node: Node) -> list[str]:
    with node.store.view() as view:
        return [note.title for note in view.find(Note, "author", "ann")]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


async def test_a_node_opens_again_with_everything(open_node: OpenNode) -> None:
    await written(open_node)
    node = await open_node()
    assert titles(node) == ["0", "1", "2", "3", "4"]


async def test_a_directory_has_one_process_at_a_time(open_node: OpenNode, data: Path) -> None:
    await open_node()
    with pytest.raises(DataInUse, match=str(os.getpid())):
        await open_node()


async def test_a_lost_directory_of_rows_is_rebuilt_from_the_journal(
    open_node: OpenNode, data: Path
) -> None:
    await written(open_node)
    shutil.rmtree(data / "state")
    node = await open_node()
    assert titles(node) == ["0", "1", "2", "3", "4"]


async def test_lost_rows_are_rebuilt_from_snapshot_and_journal(
    open_node: OpenNode, data: Path
) -> None:
    await written(open_node, snapshot=True)
    shutil.rmtree(data / "state")
    node = await open_node()
    assert titles(node) == ["0", "1", "2", "3", "4"]
    with node.store.view() as view:
        assert view.get(Counter, "after") == Counter(name="after", value=5)


async def test_rows_older_than_the_journal_catch_up(open_node: OpenNode, data: Path) -> None:
    await written(open_node)
    shutil.copytree(data / "state", data.parent / "older")
    node = await open_node()
    for _ in range(3):
        await node.store.transact(increment, "c")
    await node.close()
    shutil.rmtree(data / "state")
    (data.parent / "older").rename(data / "state")
    node = await open_node()
    with node.store.view() as view:
        assert view.get(Counter, "c") == Counter(name="c", value=3)


async def test_a_crash_in_the_middle_of_installing_rows_leaves_the_old_ones(
    open_node: OpenNode, data: Path
) -> None:
    await written(open_node)
    half = data / "state" / "2"
    half.mkdir()
    (half / "data.mdb").write_bytes(b"half")
    node = await open_node()
    assert len(titles(node)) == 5
    assert not half.exists()


async def test_a_crash_before_the_first_entry_starts_fresh(open_node: OpenNode, data: Path) -> None:
    State(data / "state", map_size=1 << 20).close()
    Log(data / "raft", map_size=1 << 20).close()
    node = await open_node()
    await node.store.transact(increment, "c")


def flip(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


def shorten(path: Path, part: float) -> None:
    os.truncate(path, int(path.stat().st_size * part) // 4096 * 4096)


def garble(path: Path, page: int) -> None:
    content = bytearray(path.read_bytes())
    content[page * 4096 : page * 4096 + 64] = os.urandom(64)
    path.write_bytes(content)


def drop_tail(data: Path) -> None:
    journal = Journal(Log(data / "raft", map_size=1 << 20))
    journal.deleteEntriesFrom(len(journal) - 1)
    journal.close()


def rewrite_tail(data: Path) -> None:
    journal = Journal(Log(data / "raft", map_size=1 << 20))
    command, index, term = journal[-1]
    journal.deleteEntriesFrom(len(journal) - 1)
    journal.add(command, index, term + 5)
    journal.close()


def remove(part: str) -> Hand:
    return lambda data: shutil.rmtree(data / part)


def in_turn(*hands: Hand) -> Hand:
    def both(data: Path) -> None:
        for hand in hands:
            hand(data)

    return both


def snapshot_file(data: Path) -> Path:
    return next((data / "snapshots").glob("*.mdb"))


JOURNAL, ROWS = "raft/data.mdb", "state/1/data.mdb"
OLD, NEW = b"title\xa13", b"title\xa17"

DAMAGE: dict[str, tuple[bool, Hand, str]] = {
    "no journal": (False, remove("raft"), "holds no journal"),
    "no journal but a snapshot": (True, remove("raft"), "holds no journal"),
    "only a snapshot": (True, in_turn(remove("raft"), remove("state")), "holds no journal"),
    "an entry of the journal changed": (
        False,
        lambda data: flip(data / JOURNAL, OLD, NEW),
        "entry [0-9]+ of the journal is not what was written",
    ),
    "the journal's file cut short": (
        False,
        lambda data: shorten(data / JOURNAL, 0.5),
        "not what was written",
    ),
    "the journal's first pages garbled": (
        False,
        in_turn(lambda data: garble(data / JOURNAL, 0), lambda data: garble(data / JOURNAL, 1)),
        "not what was written",
    ),
    "the journal's file emptied": (
        False,
        lambda data: os.truncate(data / JOURNAL, 0),
        "holds no journal",
    ),
    "the rows' file cut short": (
        False,
        lambda data: shorten(data / ROWS, 0.5),
        "not what was written",
    ),
    "the journal ends before the rows": (False, drop_tail, "acknowledged are missing"),
    "the journal's end is of another history": (False, rewrite_tail, "not of the same history"),
    "rows behind the journal, without a snapshot": (
        True,
        in_turn(remove("state"), remove("snapshots")),
        "restore one into an empty directory",
    ),
    "rows lost and the snapshot changed": (
        True,
        in_turn(remove("state"), lambda data: flip(snapshot_file(data), OLD, NEW)),
        "is not what was written",
    ),
    "rows lost and the snapshot cut short": (
        True,
        in_turn(remove("state"), lambda data: shorten(snapshot_file(data), 0.7)),
        "is not what was written",
    ),
    "META garbled": (
        True,
        lambda data: replace_file(data / "snapshots/META", b"\x00garbage"),
        "META cannot be read",
    ),
    "CURRENT garbled": (
        False,
        lambda data: replace_file(data / "state/CURRENT", b"../x"),
        "names no generation",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
async def test_damage_is_refused_with_words_and_left_as_it_is(
    open_node: OpenNode, data: Path, what: str
) -> None:
    snapshot, hand, words = DAMAGE[what]
    await written(open_node, snapshot=snapshot)
    hand(data)
    for _ in range(2):  # a second try is no way around it
        with pytest.raises(Damaged, match=words):
            await open_node()


@pytest.mark.parametrize("closed", [True, False])
async def test_a_garbled_page_never_serves_other_rows(
    open_node: OpenNode, data: Path, closed: bool
) -> None:
    await written(open_node)
    if not closed:
        (data / "closed").unlink()
    refused = 0
    pages = (data / JOURNAL).stat().st_size // 4096
    for page in range(2, pages):
        copy = data.parent / f"page-{page}"
        shutil.copytree(data, copy)
        garble(copy / JOURNAL, page)
        try:
            node = await open_node(directory=copy)
        except Damaged:
            refused += 1
        else:
            assert titles(node) == ["0", "1", "2", "3", "4"]  # the page was a free one
            await node.close()
    assert refused


async def test_a_damaged_snapshot_that_is_not_needed_is_taken_anew(
    open_node: OpenNode, data: Path
) -> None:
    await written(open_node, snapshot=True)
    shorten(snapshot_file(data), 0.7)
    node = await open_node()
    assert len(titles(node)) == 5
    async with asyncio.timeout(10):
        while not list((data / "snapshots").glob("*.mdb")):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await node.close()
    assert restore(data.parent / "restored", data / "snapshots", name="n2") > 0


async def test_rows_of_another_cluster_are_refused(open_node: OpenNode, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for directory in (one, two):
        node = await open_node(directory=directory)
        await node.snapshot()
        await node.close()
    shutil.rmtree(one / "snapshots")
    shutil.copytree(two / "snapshots", one / "snapshots")
    with pytest.raises(Damaged, match="another cluster"):
        await open_node(directory=one)


async def test_the_lock_is_let_go_when_the_start_fails(open_node: OpenNode, data: Path) -> None:
    await written(open_node)
    shutil.move(data / "raft", data.parent / "raft")
    with pytest.raises(Damaged):
        await open_node()
    shutil.rmtree(data / "raft")
    shutil.move(data.parent / "raft", data / "raft")
    assert len(titles(await open_node())) == 5


async def test_a_close_that_is_asked_for_while_writes_wait_finishes_them(
    open_node: OpenNode,
) -> None:
    node = await open_node()
    writes = [asyncio.ensure_future(node.store.transact(increment, str(i))) for i in range(50)]
    await asyncio.sleep(0)
    await node.close()
    assert await asyncio.gather(*writes) == [1] * 50
    node = await open_node()
    with node.store.view() as view:
        assert view.count(Counter) == 50
