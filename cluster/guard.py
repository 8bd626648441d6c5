"""What passes between PySyncObj and the others, so that its rules hold (replication.md part A).

Each check is for one way to lose, double or falsely acknowledge a write: C1, C2, C10, L3, H1, and
flow control. It sees every message in both directions and needs no sockets.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from cluster.journal import Journal
from cluster.messages import Message

log = logging.getLogger(__name__)

BACKLOG_BYTES_MAX: Final = 8 << 20
REGULAR: Final = b"\x00"


class Facts(Protocol):
    """What the guard asks of the member it stands before."""

    @property
    def term(self) -> int: ...
    @property
    def commit(self) -> int: ...
    @property
    def applied(self) -> int: ...
    @property
    def installing(self) -> bool: ...


class Guard:
    """Stands before one member."""

    def __init__(
        self,
        facts: Facts,
        journal: Journal,
        *,
        deliver: Callable[[str, Message], None],
        send: Callable[[str, Message], bool],
        backlog: Callable[[str], int],
        crash: Callable[[str], None],
    ) -> None:
        """`deliver` hands to PySyncObj, `send` puts on the wire, `backlog` is what waits there."""
        self._facts = facts
        self._journal = journal
        self._deliver = deliver
        self._send = send
        self._backlog = backlog
        self._crash = crash
        self._conflict: int | None = None
        self._voters: tuple[int, set[str]] = (0, set())
        self.counts: Counter[str] = Counter()

    def outgoing(self, member: str, message: Message) -> bool:
        """Send what PySyncObj wants to send; whether it is on its way."""
        match message["type"]:
            case "next_node_idx":
                message["term"] = self._facts.term
                if message["success"]:
                    self._journal.sync()  # durable before it is acknowledged (C5)
            case "response_vote":
                self._journal.sync()
            case "append_entries" if message.get("entries"):
                if self._backlog(member) > BACKLOG_BYTES_MAX:
                    self.counts["held back"] += 1  # the next acknowledgement starts it again
                    message = _heartbeat(message["term"], 0)
        return self._send(member, message)

    def incoming(self, member: str, message: Message) -> None:
        """Hand on what PySyncObj may see, as it may see it; answer the rest ourselves."""
        match message["type"]:
            case "next_node_idx" if message["term"] != self._facts.term:
                self.counts["stale acknowledgement"] += 1  # C10
            case "response_vote" if not self._counts(member, message["term"]):
                self.counts["second vote"] += 1  # L3
            case "apply_command" if message["command"][:1] != REGULAR:
                self.counts["strange command"] += 1
            case "append_entries" if message["term"] >= self._facts.term:
                self._entries(member, message)
            case _:
                self._deliver(member, message)

    def _counts(self, member: str, term: int) -> bool:
        """Whether this vote is the first of that member in this term."""
        if self._voters[0] != term:
            self._voters = (term, set())
        first = member not in self._voters[1]
        self._voters[1].add(member)
        return first

    def _entries(self, member: str, message: Message) -> None:
        if self._facts.installing:
            self._heard(member, message["term"])
        elif "prevLogIdx" in message:
            self._behind(member, message)
        else:
            message["commit_index"] = 0  # says nothing about our tail (C1)
            self._deliver(member, message)

    def _heard(self, member: str, term: int) -> None:
        """Count as alive while a snapshot is taken over, and acknowledge nothing."""
        self._deliver(member, _heartbeat(term, 0))
        self._answer(member, self._journal.last_index + 1, reset=False, success=False)

    def _behind(self, member: str, message: Message) -> None:
        """Entries behind one that must match: take what is new, never cut what matches."""
        journal = self._journal
        before, entries = message["prevLogIdx"], message.get("entries") or []
        term = None if before is None else journal.term_at(before)
        if term is None or term != message["prevLogTerm"]:
            self._back_off(member, message["term"], conflict=term is not None)
            return
        self._conflict = None
        known = 0
        if before < journal.last_index:
            while known < len(entries) and journal.term_at(entries[known][1]) == entries[known][2]:
                known += 1
        if known == len(entries) and before < journal.last_index:
            self.counts["contained"] += 1
            matched = before + known
            heartbeat = _heartbeat(message["term"], min(message["commit_index"], matched))
            self._deliver(member, heartbeat)
            self._answer(member, matched + 1, reset=False, success=True)
            return
        if known:
            self.counts["trimmed"] += 1
            _, message["prevLogIdx"], message["prevLogTerm"] = entries[known - 1]
            message["entries"] = entries[known:]
        if message["prevLogIdx"] < journal.last_index:
            self.counts["truncated"] += 1
            if message["prevLogIdx"] < self._facts.applied:
                self._crash(f"asked to cut applied entries behind {message['prevLogIdx']}")
                return
        self._deliver(member, message)

    def _back_off(self, member: str, term: int, *, conflict: bool) -> None:
        """Say where to go on. PySyncObj would undo this at the next batch, for ever (H1).

        What is committed here always matches.
        """
        self.counts["back off"] += 1
        if conflict:
            self._conflict = term
        start = self._facts.commit if self._conflict == term else self._journal.last_index
        self._deliver(member, _heartbeat(term, 0))
        self._answer(member, start + 1, reset=True, success=False)

    def _answer(self, member: str, index: int, *, reset: bool, success: bool) -> None:
        answer = {"next_node_idx": index, "reset": reset, "success": success}
        self.outgoing(member, {"type": "next_node_idx", **answer})


def _heartbeat(term: int, commit: int) -> Message:
    return {"type": "append_entries", "term": term, "commit_index": commit}
