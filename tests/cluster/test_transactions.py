"""What a view shows, what a transaction may rely on, and when it is heard of."""

from __future__ import annotations

import asyncio
import threading

import pytest

from cluster import Change, KeyInvalid, Node, TooLarge, Transaction
from tests.cluster.tables import Book, Counter, Note, increment, put


async def test_a_row_is_there_when_the_write_returns(node: Node) -> None:
    await node.store.transact(put, Note(shelf="a", title="t", text="hello"))
    with node.store.view() as view:
        assert view.get(Note, "a", "t") == Note(shelf="a", title="t", text="hello")
        assert view.get(Note, "a", "u") is None
        assert view.applied == node.store.applied


async def test_a_scan_follows_the_key_and_its_leading_parts(node: Node) -> None:
    def fill(tx: Transaction) -> None:
        for shelf in ("a", "ab", "b"):
            for title in ("1", "2", "3"):
                tx.put(Note(shelf=shelf, title=title))

    await node.store.transact(fill)
    with node.store.view() as view:
        assert [(n.shelf, n.title) for n in view.scan(Note, "a")] == [
            ("a", "1"),
            ("a", "2"),
            ("a", "3"),
        ]
        assert [n.title for n in view.scan(Note, "ab", after=("ab", "1"))] == ["2", "3"]
        assert [n.title for n in view.scan(Note, "ab", reverse=True)] == ["3", "2", "1"]
        assert [n.title for n in view.scan(Note, "b", after=("b", "3"), reverse=True)] == ["2", "1"]
        assert {n.shelf for n in view.scan(Note, after=("a",))} == {"ab", "b"}
        assert [n.title for n in view.scan(Note, "ab", "2")] == ["2"]
        assert view.count(Note) == 9
        assert view.count(Note, "ab") == 3
        assert not list(view.scan(Note, "b", after=("c",)))


async def test_an_index_lists_by_its_attributes_and_leaves_out_none(node: Node) -> None:
    def fill(tx: Transaction) -> None:
        tx.put(Note(shelf="x", title="2", author="ann"))
        tx.put(Note(shelf="y", title="1", author="ann"))
        tx.put(Note(shelf="z", title="3", author=None))
        tx.put(Book(name="Z", tags=("old", "new", "old"), year="1999"))
        tx.put(Book(name="a", tags=("new",), year="1980"))

    await node.store.transact(fill)
    with node.store.view() as view:
        assert [n.title for n in view.find(Note, "author")] == ["1", "2"]
        assert [n.title for n in view.find(Note, "author", "ann", reverse=True)] == ["2", "1"]
        assert [b.name for b in view.find(Book, "tag", "new")] == ["a", "Z"]
        assert [b.name for b in view.find(Book, "tag", "old")] == ["Z"]
        assert [b.name for b in view.find(Book, "lower")] == ["a", "Z"]
        assert [b.name for b in view.find(Book, "lower", "z")] == ["Z"]
    await node.store.transact(put, Note(shelf="y", title="1", author="bob"))
    await node.store.transact(lambda tx: tx.delete(Book(name="Z")))
    with node.store.view() as view:
        assert [n.author for n in view.find(Note, "author")] == ["ann", "bob"]
        assert [b.name for b in view.find(Book, "tag")] == ["a"]


async def test_a_transaction_reads_its_own_writes(node: Node) -> None:
    await node.store.transact(put, Note(shelf="a", title="1", author="ann"))
    await node.store.transact(put, Note(shelf="a", title="3", author="ann"))

    def work(tx: Transaction) -> None:
        tx.put(Note(shelf="a", title="2", author="ann"))
        tx.put(Note(shelf="a", title="3", author="bob"))
        tx.delete(Note(shelf="a", title="1"))
        assert tx.get(Note, "a", "1") is None
        assert [n.title for n in tx.scan(Note, "a")] == ["2", "3"]
        assert [n.title for n in tx.scan(Note, "a", reverse=True)] == ["3", "2"]
        assert [n.title for n in tx.find(Note, "author", "ann")] == ["2"]
        assert [n.title for n in tx.find(Note, "author", reverse=True)] == ["3", "2"]
        assert tx.count(Note, "a") == 2

    await node.store.transact(work)
    with node.store.view() as view:
        assert [(n.title, n.author) for n in view.scan(Note)] == [("2", "ann"), ("3", "bob")]


async def test_a_row_may_be_deleted_while_it_is_scanned(node: Node) -> None:
    def fill(tx: Transaction) -> None:
        for title in "abc":
            tx.put(Note(shelf="s", title=title, author="ann"))

    def clear(tx: Transaction) -> int:
        count = 0
        for note in tx.find(Note, "author", "ann"):
            tx.delete(note)
            count += 1
        return count

    await node.store.transact(fill)
    assert await node.store.transact(clear) == 3
    with node.store.view() as view:
        assert view.count(Note) == 0


async def test_an_error_in_the_work_writes_nothing_and_passes_on(node: Node) -> None:
    def work(tx: Transaction) -> None:
        tx.put(Note(shelf="a", title="t"))
        raise LookupError("no")

    before = node.store.applied
    with pytest.raises(LookupError, match="no"):
        await node.store.transact(work)
    assert node.store.applied == before


async def test_work_that_writes_nothing_proposes_nothing(node: Node) -> None:
    before = node.store.applied
    assert await node.store.transact(lambda tx: tx.count(Note)) == 0
    assert node.store.applied == before


async def test_concurrent_increments_are_all_counted(node: Node) -> None:
    got = await asyncio.gather(*(node.store.transact(increment, "c") for _ in range(60)))
    assert sorted(got) == list(range(1, 61))
    with node.store.view() as view:
        assert view.get(Counter, "c") == Counter(name="c", value=60)


READS = {
    "a row": lambda tx: tx.get(Note, "s", "m"),
    "a row that is not there": lambda tx: tx.get(Note, "s", "n"),
    "a whole range": lambda tx: list(tx.scan(Note, "s")),
    "a whole range backwards": lambda tx: list(tx.scan(Note, "s", reverse=True)),
    "an index": lambda tx: list(tx.find(Note, "author", "ann")),
    "a count": lambda tx: tx.count(Note, "s"),
}
CHANGES = {
    "a row": [Note(shelf="s", title="m", author="ann", text="changed")],
    "a row that is not there": [Note(shelf="s", title="n")],
    "a whole range": [Note(shelf="s", title="m", text="changed"), Note(shelf="s", title="zz")],
    "a whole range backwards": [Note(shelf="s", title="aa")],
    "an index": [Note(shelf="other", title="z", author="ann")],
    "a count": [Note(shelf="s", title="zz")],
}


@pytest.mark.parametrize("what", READS)
async def test_work_runs_again_when_what_it_read_has_changed(node: Node, what: str) -> None:
    for change in CHANGES[what]:
        await node.store.transact(put, Note(shelf="s", title="m", author="ann"))
        runs = await _race(node, READS[what], change)
        assert runs == 2, what
        await node.store.transact(lambda tx, row: tx.delete(row), change)


async def test_work_runs_again_when_a_row_it_listed_is_gone(node: Node) -> None:
    await node.store.transact(put, Note(shelf="s", title="m", author="ann"))
    for read in (READS["a whole range"], READS["an index"]):
        await node.store.transact(put, Note(shelf="s", title="q", author="ann"))
        assert await _race(node, read, None) == 2


@pytest.mark.parametrize("what", READS)
async def test_a_change_elsewhere_is_no_conflict(node: Node, what: str) -> None:
    await node.store.transact(put, Note(shelf="s", title="m", author="ann"))
    assert await _race(node, READS[what], Note(shelf="t", title="m", author="bob")) == 1


async def test_a_scan_that_stops_early_only_relies_on_what_it_saw(node: Node) -> None:
    for title in ("a", "b", "c"):
        await node.store.transact(put, Note(shelf="s", title=title))
    first = lambda tx: next(tx.scan(Note, "s"))  # noqa: E731
    assert await _race(node, first, Note(shelf="s", title="b", text="x")) == 1
    assert await _race(node, first, Note(shelf="s", title="0")) == 2
    last = lambda tx: next(tx.scan(Note, "s", reverse=True))  # noqa: E731
    assert await _race(node, last, Note(shelf="s", title="a", text="x")) == 1
    assert await _race(node, last, Note(shelf="s", title="d")) == 2


async def _race(node: Node, read: object, change: Note | None) -> int:
    """How often work that reads ran, when `change` (or a delete of s/q) was proposed before it."""
    runs = 0

    def slow(tx: Transaction) -> None:
        nonlocal runs
        runs += 1
        read(tx)  # type: ignore[operator]
        tx.put(Counter(name="race"))

    def quick(tx: Transaction) -> None:
        if change is None:
            tx.delete(Note(shelf="s", title="q"))
        else:
            tx.put(change)

    await asyncio.gather(node.store.transact(quick), node.store.transact(slow))
    return runs


async def test_a_change_is_told_before_the_write_returns(node: Node) -> None:
    heard: list[Change] = []
    node.store.subscribe(heard.append)
    await node.store.transact(put, Note(shelf="a", title="t"))
    assert heard == [Change(node.store.applied, ((Note, ("a", "t")),))]
    await node.store.transact(lambda tx: tx.delete(Note(shelf="a", title="t")))
    assert [change.keys for change in heard[1:]] == [((Note, ("a", "t")),)]


async def test_one_who_wants_to_know_at_once_is_told_where_a_change_is_applied(node: Node) -> None:
    order: list[tuple[str, bool]] = []

    def told(word: str) -> None:
        order.append((word, threading.current_thread() is threading.main_thread()))
        if word == "at once":
            node.store.post(node.store.hear)  # hearing early tells nobody twice

    node.store.subscribe(lambda change: told("then"))
    node.store.subscribe(lambda change: told("at once"), at_once=True)
    await node.store.transact(put, Note(shelf="a", title="t"))
    assert order == [("at once", False), ("then", True)]


async def test_a_subscriber_that_fails_does_not_silence_the_others(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Change] = []

    def broken(change: Change) -> None:
        raise RuntimeError("broken")

    node.store.subscribe(broken)
    node.store.subscribe(heard.append)
    await node.store.transact(put, Note(shelf="a", title="t"))
    assert len(heard) == 1
    assert "a subscriber failed" in caplog.text


@pytest.mark.parametrize("title", ["a\x00b", "\ud800", "x" * 600])
async def test_a_key_no_row_can_have_is_not_found_and_not_written(node: Node, title: str) -> None:
    with pytest.raises(KeyInvalid):
        await node.store.transact(put, Note(shelf="a", title=title))
    with node.store.view() as view:
        assert view.get(Note, "a", title) is None
        assert not list(view.scan(Note, "a", title))
        assert not list(view.find(Note, "author", title))
        assert view.count(Note, "a", title) == 0


async def test_a_transaction_larger_than_an_entry_is_refused(node: Node) -> None:
    await node.store.transact(put, Note(shelf="a", title="fits", text="x" * 700_000))
    with pytest.raises(TooLarge):
        await node.store.transact(put, Note(shelf="a", title="t", text="x" * 1_100_000))
    with node.store.view() as view:
        assert view.count(Note) == 1


async def test_a_barrier_returns_on_a_node_that_leads(node: Node) -> None:
    await node.store.barrier()


async def test_an_effect_comes_before_the_rows_and_once_however_often_work_runs(node: Node) -> None:
    effects: list[int] = []
    runs: list[int] = []

    def work(tx: Transaction) -> int:
        runs.append(tx.applied)
        return increment(tx, "c")

    async def effect() -> None:
        with node.store.view() as view:
            assert view.get(Counter, "c") is None
        effects.append(await node.store.transact(increment, "c"))  # gets in between

    assert await node.store.transact_behind(effect, work) == 2
    assert (effects, len(runs)) == ([1], 2)


async def test_what_work_refuses_has_no_effect_and_what_fails_writes_nothing(node: Node) -> None:
    effects: list[str] = []

    async def effect() -> None:
        effects.append("made")
        raise OSError("no room")

    def refuse(tx: Transaction) -> None:
        tx.put(Note(shelf="a", title="t"))
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        await node.store.transact_behind(effect, refuse)
    assert not effects
    with pytest.raises(OSError, match="no room"):
        await node.store.transact_behind(effect, put, Note(shelf="a", title="t"))
    with node.store.view() as view:
        assert view.get(Note, "a", "t") is None


async def test_the_keyword_arguments_of_work_are_its_own(node: Node) -> None:
    def work(tx: Transaction, *, work: str, deadline: str) -> str:
        return work + deadline

    assert await node.store.transact(work, work="a", deadline="b") == "ab"
