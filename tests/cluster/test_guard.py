"""What passes the guard, message by message (replication.md part A)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.disk import Log
from cluster.guard import BACKLOG_BYTES_MAX, Guard
from cluster.journal import Identity, Journal

FIRST = ((b"\x01", 0, 0), (b"\x01", 1, 0))


class Member:
    """A member in term 3 with entries 0 to 5, of which 3 are committed and 2 applied."""

    installing = False

    def __init__(self, path: Path) -> None:
        self.term, self.commit, self.applied = 3, 3, 2
        self.journal = Journal(Log(path / "raft", map_size=1 << 20))
        self.journal.begin(FIRST, Identity("c", "1/a", ("1/a", "1/b")))
        for index in range(2, 6):
            self.journal.add(b"\x00", index, 2 if index < 5 else 3)
        self.delivered: list[dict[str, Any]] = []
        self.sent: list[dict[str, Any]] = []
        self.waiting = 0
        self.crashed: list[str] = []
        self.guard = Guard(
            self,
            self.journal,
            deliver=lambda member, message: self.delivered.append(message),
            send=self.send,
            backlog=lambda member: self.waiting,
            crash=self.crashed.append,
        )

    def send(self, member: str, message: dict[str, Any]) -> bool:
        self.sent.append(message)
        return True

    def hear(self, kind: str, **fields: Any) -> None:
        self.guard.incoming("1/b", {"type": kind, **fields})

    def entries(self, before: int, term: int | None, *entries: tuple[int, int]) -> None:
        """From the leader of term 3: entries (index, term) behind one of `term` at `before`."""
        self.hear(
            "append_entries",
            term=3,
            commit_index=5,
            prevLogIdx=before,
            prevLogTerm=term,
            entries=[(b"\x00", index, of) for index, of in entries],
        )


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Member]:
    made = Member(tmp_path)
    yield made
    made.journal.close()


@pytest.mark.parametrize("piece", [None, (b"", False, False), (b"", False, True)])
def test_a_snapshot_on_its_way_commits_nothing(member: Member, piece: object) -> None:
    """C1: it says nothing about what is behind the journal's last common entry."""
    member.hear("append_entries", term=3, commit_index=9, serialized=piece)
    assert member.delivered[0]["commit_index"] == 0


def test_entries_that_are_here_are_acknowledged_and_nothing_is_cut(member: Member) -> None:
    """C2: sent again after a lost acknowledgement, they must not be lacking for a moment."""
    member.entries(1, 0, (2, 2), (3, 2))
    assert "entries" not in member.delivered[0]
    assert member.delivered[0]["commit_index"] == 3
    assert member.sent == [
        {
            "type": "next_node_idx",
            "next_node_idx": 4,
            "reset": False,
            "success": True,
            "term": 3,
        }
    ]


def test_only_what_is_new_is_passed_on(member: Member) -> None:
    member.entries(3, 2, (4, 2), (5, 3), (6, 3))
    assert [entry[1] for entry in member.delivered[0]["entries"]] == [6]
    assert (member.delivered[0]["prevLogIdx"], member.delivered[0]["prevLogTerm"]) == (5, 3)


def test_what_conflicts_is_cut_where_it_begins(member: Member) -> None:
    member.entries(3, 2, (4, 2), (5, 2))
    assert member.delivered[0]["prevLogIdx"] == 4
    assert not member.crashed


def test_a_member_asked_to_cut_what_it_applied_ends(member: Member) -> None:
    member.applied = 5
    member.entries(3, 2, (4, 3))
    assert member.crashed
    assert not member.delivered


def test_after_a_conflict_every_answer_says_the_same_place(member: Member) -> None:
    """H1: PySyncObj would answer `my end + 1` to the next batches, and never come back."""
    member.entries(5, 2, (6, 3))
    member.entries(9, 3, (10, 3))
    assert [message["next_node_idx"] for message in member.sent] == [4, 4]
    assert all(message["reset"] and not message["success"] for message in member.sent)
    assert all("entries" not in message for message in member.delivered)


def test_entries_behind_a_gap_are_asked_for_from_the_end(member: Member) -> None:
    member.entries(9, 3, (10, 3))
    assert member.sent[0]["next_node_idx"] == 6


def test_an_acknowledgement_of_another_term_counts_nothing(member: Member) -> None:
    """C10."""
    fields = {"next_node_idx": 5, "reset": False, "success": True}
    member.hear("next_node_idx", term=2, **fields)
    assert not member.delivered
    member.hear("next_node_idx", term=3, **fields)
    assert len(member.delivered) == 1


def test_a_vote_counts_once(member: Member) -> None:
    """L3."""
    for _ in range(2):
        member.hear("response_vote", term=3)
    assert len(member.delivered) == 1


@pytest.mark.parametrize("kind", [b"\x01", b"\x02", b"\x03", b""])
def test_only_transactions_are_ordered_for_others(member: Member, kind: bytes) -> None:
    """A member changes through the leader's own hands, a version never (C13, S4)."""
    member.hear("apply_command", command=kind + b"x", request_id=1)
    assert not member.delivered
    member.hear("apply_command", command=b"\x00x", request_id=1)
    assert len(member.delivered) == 1


def test_an_acknowledgement_is_sent_after_what_it_says_is_durable(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C5."""
    order: list[str] = []
    monkeypatch.setattr(member.journal, "sync", lambda: order.append("synced"))

    def send(to: str, message: dict[str, Any]) -> bool:
        order.append("sent")
        return True

    monkeypatch.setattr(member.guard, "_send", send)
    answer = {"next_node_idx": 6, "reset": False, "success": True}
    member.guard.outgoing("1/b", {"type": "next_node_idx", **answer})
    member.guard.outgoing("1/b", {"type": "response_vote", "term": 3})
    assert order == ["synced", "sent"] * 2


def test_entries_are_held_back_while_too_much_waits(member: Member) -> None:
    message = {"type": "append_entries", "term": 3, "commit_index": 3, "entries": [FIRST[0]]}
    member.waiting = BACKLOG_BYTES_MAX + 1
    member.guard.outgoing("1/b", dict(message))
    assert "entries" not in member.sent[0]
    assert member.sent[0]["commit_index"] == 0
    member.waiting = 0
    member.guard.outgoing("1/b", dict(message))
    assert member.sent[1]["entries"] == [FIRST[0]]


def test_while_a_snapshot_is_taken_over_nothing_is_acknowledged(member: Member) -> None:
    member.installing = True
    member.entries(5, 3, (6, 3))
    assert "entries" not in member.delivered[0]
    assert not member.sent[0]["success"]
    assert not member.sent[0]["reset"]
