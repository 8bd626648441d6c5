"""The store against a plain dict, by random steps, restarts and snapshots included."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cluster import Node, NodeSettings, Transaction
from tests.cluster.tables import Note, schema

word = st.sampled_from(["", "a", "ab", "b", "é", "\x01", "\U0001f600"])
author = st.none() | word
steps = st.lists(
    st.tuples(st.sampled_from(["put", "delete"]), word, word, author), min_size=1, max_size=6
)


class StoreIsADict(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.rows: dict[tuple[str, str], Note] = {}
        self.texts = 0
        self.node = self._open()

    def _open(self) -> Node:
        # a tiny map and short journal: growth and cuts are part of every run
        chosen = NodeSettings(
            name="n",
            directory=self.directory / "data",
            map_size=64 << 10,
            snapshot_entries=20,
            disk_reserve=0,
        )
        return self.runner.run(Node.open(chosen, schema))

    def _apply(self, rows: dict[tuple[str, str], Note], step: Any, tx: Transaction) -> None:
        kind, shelf, title, by = step
        note = Note(shelf=shelf, title=title, author=by, text=str(self.texts))
        if kind == "put":
            tx.put(note)
            rows[shelf, title] = note
        else:
            tx.delete(note)
            rows.pop((shelf, title), None)

    @rule(steps=steps, prefix=word)
    def transact(self, steps: list[Any], prefix: str) -> None:
        self.texts += 1

        def work(tx: Transaction) -> dict[tuple[str, str], Note]:
            rows = dict(self.rows)
            for step in steps:
                self._apply(rows, step, tx)
                assert tx.get(Note, step[1], step[2]) == rows.get((step[1], step[2]))
            _same(tx, rows, prefix)
            return rows

        self.rows = self.runner.run(self.node.store.transact(work))

    @rule(steps=steps)
    def abort(self, steps: list[Any]) -> None:
        def work(tx: Transaction) -> None:
            for step in steps:
                self._apply({}, step, tx)
            raise InterruptedError

        try:
            self.runner.run(self.node.store.transact(work))
        except InterruptedError:
            return
        raise AssertionError("the error of the work was lost")

    @rule(one=steps, two=steps)
    def race(self, one: list[Any], two: list[Any]) -> None:
        """Two at once, each over all the other may have written: as one after the other."""
        self.texts += 1
        order: list[dict[tuple[str, str], Note]] = []

        def work(tx: Transaction, steps: list[Any], at: int) -> dict[tuple[str, str], Note]:
            rows = {(note.shelf, note.title): note for note in tx.scan(Note)}
            order.append(dict(rows))
            for step in steps:
                self._apply(rows, step, tx)
            tx.put(mark := Note(shelf="race", title=f"{self.texts} {at}"))
            rows[mark.shelf, mark.title] = mark
            return rows

        async def both() -> tuple[dict[tuple[str, str], Note], ...]:
            return await asyncio.gather(
                self.node.store.transact(work, one, 1), self.node.store.transact(work, two, 2)
            )

        first, second = sorted(self.runner.run(both()), key=lambda rows: _marks(rows, self.texts))
        assert order[0] == self.rows
        assert order[-1] == first
        self.rows = second

    @rule()
    def snapshot(self) -> None:
        self.runner.run(self.node.snapshot())

    @rule()
    def restart(self) -> None:
        self.runner.run(self.node.close())
        self.node = self._open()

    @invariant()
    def same_rows(self) -> None:
        with self.node.store.view() as view:
            _same(view, self.rows, "a")

    def teardown(self) -> None:
        self.runner.run(self.node.close())
        self.runner.close()
        shutil.rmtree(self.directory)


def _same(view: Any, rows: dict[tuple[str, str], Note], prefix: str) -> None:
    ordered = [rows[key] for key in sorted(rows)]
    inside = [note for note in ordered if note.shelf == prefix]
    by = sorted(
        (note for note in ordered if note.author is not None),
        key=lambda note: (note.author, note.title, note.shelf),
    )
    assert list(view.scan(Note)) == ordered
    assert list(view.scan(Note, reverse=True)) == ordered[::-1]
    assert list(view.scan(Note, prefix)) == inside
    assert list(view.scan(Note, after=(prefix,))) == [n for n in ordered if n.shelf > prefix]
    assert view.count(Note, prefix) == len(inside)
    assert list(view.find(Note, "author")) == by
    assert list(view.find(Note, "author", prefix)) == [n for n in by if n.author == prefix]
    assert list(view.find(Note, "author", reverse=True)) == by[::-1]


def _marks(rows: dict[tuple[str, str], Note], race: int) -> int:
    return sum(1 for shelf, title in rows if shelf == "race" and title.startswith(f"{race} "))


TestStoreIsADict = StoreIsADict.TestCase
TestStoreIsADict.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
