"""The state machine, over rows in a plain dict: same entries, same rows, and never an exception."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from cluster import SchemaTooNew, command, machine
from cluster.command import Commit, Migrate, Point, Proposal, Range, Stage, Write
from cluster.machine import Outcome, Space


class Rows:
    def __init__(self) -> None:
        self.data: dict[tuple[Space, bytes], bytes] = {}

    def get(self, space: Space, key: bytes) -> bytes | None:
        return self.data.get((space, key))

    def put(self, space: Space, key: bytes, value: bytes) -> None:
        assert 0 < len(key) <= 511
        self.data[space, key] = value

    def delete(self, space: Space, key: bytes) -> None:
        self.data.pop((space, key), None)

    def scan(self, space: Space, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        yield from sorted(
            (key, value)
            for (found, key), value in self.data.items()
            if found == space and start <= key < stop
        )


def entry(*words: command.Word, first: int = 0) -> bytes:
    return command.join(
        [
            command.encode(Proposal((first + at).to_bytes(16, "big"), word))
            for at, word in enumerate(words)
        ]
    )


def outcomes(done: machine.Applied) -> list[Outcome]:
    return [outcome for _, outcome in done.outcomes]


def test_a_proposal_is_applied_once_however_often_it_is_in_the_log() -> None:
    rows = Rows()
    once = entry(Commit((), (), (Write(b"t\0k\0", b"1"),)))
    assert machine.apply(2, 1, once, rows).changed == (b"t\0k\0",)
    machine.apply(3, 1, entry(Commit((), (), (Write(b"t\0k\0", b"2"),)), first=9), rows)
    again = machine.apply(4, 1, once, rows)
    assert again.changed == ()
    assert outcomes(again) == [Outcome.COMMITTED]
    row = rows.get(Space.ROWS, b"t\0k\0")
    assert row is not None
    assert machine.record_of(row) == b"2"
    assert machine.applied(rows) == (4, 1)


def test_the_outcome_of_a_conflict_is_remembered_too() -> None:
    rows = Rows()
    loser = entry(Commit((Point(b"t\0k\0", 7),), (), (Write(b"t\0k\0", b"1"),)))
    assert outcomes(machine.apply(2, 1, loser, rows)) == [Outcome.CONFLICT]
    assert outcomes(machine.apply(3, 1, loser, rows)) == [Outcome.CONFLICT]
    assert rows.get(Space.ROWS, b"t\0k\0") is None


def test_of_two_in_one_entry_that_read_the_same_the_second_loses() -> None:
    rows = Rows()
    both = Commit((Point(b"t\0k\0", 0),), (), (Write(b"t\0k\0", b"1"),))
    assert outcomes(machine.apply(2, 1, entry(both, both), rows)) == [
        Outcome.COMMITTED,
        Outcome.CONFLICT,
    ]


def test_proposals_are_forgotten_by_log_index() -> None:
    rows = Rows()
    once = entry(Commit((), (), (Write(b"t\0k\0", b"1"),)))
    machine.apply(2, 1, once, rows)
    machine.apply(1 + machine.REMEMBERED, 1, entry(Commit((), (), ()), first=5), rows)
    assert rows.get(Space.PROPOSALS, (0).to_bytes(16, "big")) is not None
    machine.apply(2 + machine.REMEMBERED, 1, entry(Commit((), (), ()), first=6), rows)
    assert rows.get(Space.PROPOSALS, (0).to_bytes(16, "big")) is None
    assert rows.get(Space.RECENT, (2).to_bytes(8, "big")) is None


def test_index_rows_follow_their_row() -> None:
    rows = Rows()
    key = b"t\0k\0"
    machine.apply(2, 1, entry(Commit((), (), (Write(key, b"1", (b"t.i\0a\0k\0",)),))), rows)
    machine.apply(
        3, 1, entry(Commit((), (), (Write(key, b"1", (b"t.i\0b\0k\0",)),)), first=1), rows
    )
    found = list(rows.scan(Space.ROWS, b"t.i\0", b"t.i\x01"))
    assert found == [(b"t.i\0b\0k\0", (3).to_bytes(8, "big") + key)]
    machine.apply(4, 1, entry(Commit((), (), (Write(key, None),)), first=2), rows)
    assert list(rows.scan(Space.ROWS, b"", b"\xff")) == []


def test_a_row_that_is_written_twice_by_one_word_is_as_it_was_written_last() -> None:
    rows, key = Rows(), b"t\0k\0"
    first, last = Write(key, b"1", (b"t.i\0a\0k\0",)), Write(key, b"2", (b"t.i\0b\0k\0",))
    machine.apply(2, 1, entry(Commit((Point(key, 0),), (), (first, last))), rows)
    found = tuple(each for each, _ in rows.scan(Space.ROWS, b"t.i\0", b"t.i\x01"))
    assert found == last.index_keys
    gone = Commit((), (), (Write(key, None), first, Write(key, None)))
    machine.apply(3, 1, entry(gone, first=1), rows)
    assert list(rows.scan(Space.ROWS, b"", b"\xff")) == []


def test_staged_writes_are_seen_only_when_the_migration_is_whole() -> None:
    rows = Rows()
    id_, other = b"m" * 16, b"o" * 16
    write = (Write(b"t\0k\0", b"1"),)
    machine.apply(2, 1, entry(Stage(id_, 0, write), Stage(id_, 1, write)), rows)
    assert rows.get(Space.ROWS, b"t\0k\0") is None
    incomplete = machine.apply(3, 1, entry(Migrate(id_, 3, 2, b""), first=5), rows)
    assert outcomes(incomplete) == [Outcome.CONFLICT]
    foreign = machine.apply(4, 1, entry(Migrate(other, 2, 2, b""), first=6), rows)
    assert outcomes(foreign) == [Outcome.CONFLICT]
    whole = machine.apply(5, 1, entry(Migrate(id_, 2, 2, b"shape"), first=7), rows)
    assert outcomes(whole) == [Outcome.COMMITTED]
    assert rows.get(Space.ROWS, b"t\0k\0") is not None
    assert machine.schema_of(rows) == (2, b"shape")
    assert not list(rows.scan(Space.STAGED, b"", b"\xff"))
    back = machine.apply(6, 1, entry(Stage(other, 0, ()), Migrate(other, 1, 1, b""), first=8), rows)
    assert outcomes(back) == [Outcome.COMMITTED, Outcome.CONFLICT]


def test_an_entry_of_a_newer_version_stops_the_machine() -> None:
    rows = Rows()
    for unknown in (b"", b"\x02\x90", b"\x01\x91\x92\xc4\x00\x91\x63", b"\x01garbage"):
        with pytest.raises(SchemaTooNew):
            machine.apply(2, 1, unknown, rows)
    assert not rows.data


keys = st.binary(max_size=600)
writes = st.lists(
    st.builds(
        Write, keys, st.none() | st.binary(max_size=9), st.lists(keys, max_size=2).map(tuple)
    ),
    max_size=3,
).map(tuple)
numbers = st.integers(-1, 1 << 63)
words = st.one_of(
    st.builds(
        Commit,
        st.lists(st.builds(Point, keys, numbers), max_size=2).map(tuple),
        st.lists(st.builds(Range, keys, keys, numbers, numbers), max_size=2).map(tuple),
        writes,
    ),
    st.builds(Stage, st.binary(max_size=17), st.integers(-1, 1 << 40), writes),
    st.builds(Migrate, st.binary(max_size=17), numbers, numbers, st.binary(max_size=4)),
)


@given(st.lists(st.tuples(st.binary(max_size=17), words), max_size=5))
def test_no_data_makes_apply_raise_and_equal_entries_make_equal_rows(
    proposals: list[tuple[bytes, command.Word]],
) -> None:
    data = command.join([command.encode(Proposal(id_, word)) for id_, word in proposals])
    one, two = Rows(), Rows()
    assert machine.apply(5, 2, data, one) == machine.apply(5, 2, data, two)
    assert one.data == two.data
