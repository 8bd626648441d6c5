"""The journal keeps what was synced, all of it or none, and knows when it is not what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cluster import Damaged, journal as journal_module
from cluster.disk import Log
from cluster.journal import NO_OP, Identity, Journal

FIRST = ((NO_OP, 0, 0), (NO_OP, 1, 0))
ME = Identity("cluster", "1/a", ("1/a",))


def open_journal(path: Path) -> Journal:
    return Journal(Log(path, map_size=64 << 10))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = open_journal(tmp_path / "raft")
    made.begin(FIRST, ME)
    return made


def test_what_is_not_synced_is_not_there_after_a_crash(journal: Journal, tmp_path: Path) -> None:
    journal.add(b"kept", 2, 1)
    journal.sync()
    journal.add(b"lost", 3, 1)
    journal._log.close()
    again = open_journal(tmp_path / "raft")
    assert again[:] == [*FIRST, (b"kept", 2, 1)]
    again.close()


def test_term_and_vote_are_durable_when_they_are_set(journal: Journal, tmp_path: Path) -> None:
    journal.setCurrentTerm(7, "1/a")
    journal._log.close()
    again = open_journal(tmp_path / "raft")
    assert (again.getCurrentTerm(), again.getVotedForNodeId()) == (7, "1/a")
    assert again.identity == ME
    again.close()


def test_the_commit_index_is_never_past_the_end_nor_behind_what_is_applied(
    journal: Journal, tmp_path: Path
) -> None:
    journal.add(b"a", 2, 1)
    journal.setRaftCommitIndex(900)
    journal.close()
    again = open_journal(tmp_path / "raft")
    assert again.getRaftCommitIndex() == 2
    again.close()
    again = open_journal(tmp_path / "raft")
    again.setRaftCommitIndex(0)
    again.add(b"b", 3, 1)
    again.close()
    again = open_journal(tmp_path / "raft")
    again.commit_floor = 2
    assert again.getRaftCommitIndex() == 2
    again.close()


def test_an_entry_that_does_not_follow_is_refused(journal: Journal) -> None:
    with pytest.raises(Damaged, match="does not follow"):
        journal.add(b"x", 5, 1)
    journal.close()


def test_a_hole_is_damage(journal: Journal, tmp_path: Path) -> None:
    journal.add(b"a", 2, 1)
    journal.add(b"b", 3, 1)
    journal.close()
    log = Log(tmp_path / "raft", map_size=64 << 10)
    log.write((2, 3), None, (), {})
    log.close()
    with pytest.raises(Damaged, match="hole between 1 and 3"):
        open_journal(tmp_path / "raft")


def test_a_changed_byte_is_damage(journal: Journal, tmp_path: Path) -> None:
    journal.add(b"a sentence that somebody wrote", 2, 1)
    journal.close()
    data = tmp_path / "raft" / "data.mdb"
    content = data.read_bytes()
    assert b"somebody wrote" in content
    data.write_bytes(content.replace(b"somebody wrote", b"somebody wr0te"))
    with pytest.raises(Damaged, match="entry 2 of the journal"):
        open_journal(tmp_path / "raft")


def test_entries_grow_out_of_a_small_map(journal: Journal, tmp_path: Path) -> None:
    for index in range(2, 40):
        journal.add(b"\0" + bytes([index]) * 50_000, index, 1)
        journal.sync()
    journal.close()
    again = open_journal(tmp_path / "raft")
    assert again[-1] == (b"\0" + bytes([39]) * 50_000, 39, 1)
    assert len(again) == 40
    again.close()


class JournalIsAList(RuleBasedStateMachine):
    """Added, truncated, cut, cleared, crashed: what was synced stays, in order."""

    @initialize()
    def begin(self) -> None:
        import tempfile

        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "raft"
        self.journal = open_journal(self.path)
        self.journal.begin(FIRST, ME)
        self.entries: list[Any] = list(FIRST)
        self.synced: list[Any] = list(FIRST)

    @rule(sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=4), newer=st.booleans())
    def add(self, sizes: list[int], newer: bool) -> None:
        for size in sizes:
            _, index, term = self.entries[-1]
            entry = (b"\0" + bytes([size % 256]) * size, index + 1, term + newer)
            self.journal.add(*entry)
            self.entries.append(entry)

    @rule()
    def sync(self) -> None:
        self.journal.sync()
        self.synced = list(self.entries)

    @precondition(lambda self: len(self.entries) > 2)
    @rule(data=st.data())
    def truncate(self, data: Any) -> None:
        at = data.draw(st.integers(2, len(self.entries)))
        self.journal.deleteEntriesFrom(at)
        del self.entries[at:]

    @rule(data=st.data())
    def cut(self, data: Any) -> None:
        at = data.draw(st.integers(0, len(self.entries)))
        self.journal.deleteEntriesTo(at)
        self.entries = self.entries[min(at, len(self.entries) - 2) :]
        self.synced = list(self.entries)

    @rule(index=st.integers(2, 1000))
    def start_over(self, index: int) -> None:
        self.journal.clear()
        self.entries = [(b"p", index - 1, 1), (b"q", index, 1)]
        for entry in self.entries:
            self.journal.add(*entry)
        self.journal.sync()
        self.synced = list(self.entries)

    @rule()
    def crash(self) -> None:
        self.journal._log.close()
        self.journal = open_journal(self.path)
        self.entries = list(self.synced)

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "journal"):
            return
        assert self.journal[:] == self.entries
        assert len(self.journal) == len(self.entries)
        assert self.journal[-1] == self.entries[-1]
        assert self.journal[0] == self.entries[0]
        assert self.journal.first_index == self.entries[0][1]
        assert self.journal.last_index == self.entries[-1][1]
        assert self.journal.bytes == sum(len(command) for command, _, _ in self.entries)
        for _, index, term in self.entries:
            assert self.journal.term_at(index) == term
        assert self.journal.term_at(self.entries[-1][1] + 1) is None

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.journal.close()
            self.directory.cleanup()


TestJournalIsAList = JournalIsAList.TestCase
TestJournalIsAList.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


@pytest.fixture(autouse=True, scope="module")
def small_memory() -> Any:
    """Most entries are read back from disk, not from memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal_module, "RECENT_BYTES_MAX", 2000)
        yield
