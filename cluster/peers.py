"""What a member knows of the others: who is there, what they applied, reads, leases, canvassing.

Everything runs on the tick thread over pings and pongs, and touches no socket. Times are of one
clock each: a `sent` that comes back is compared with the clock it was taken from, and no other.

Why a lease is one: a leader grants only when a quorum has answered a ping it sent within
EVIDENCE_SECONDS. Members that answer in a term have not voted in a later one, so who is elected
later can begin at most EVIDENCE_SECONDS before the last grant of its predecessor, and waits for
both before it calls anything settled.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from cluster.messages import Message

PING_SECONDS: Final = 0.1
REACHABLE_SECONDS: Final = 1.0
LEASE_SECONDS: Final = 1.0
EVIDENCE_SECONDS: Final = 0.5
CLOCK_MARGIN: Final = 1.1
"""Two clocks run at most this much apart in rate."""
ASK_SECONDS: Final = 1.0
SETTLE_SECONDS: Final = 2.5
CANVASS_SECONDS: Final = 0.35
LED_SECONDS: Final = 0.5
LAG_MAX: Final = 100
"""Who is further behind is catching up, and nobody waits for it to show a write."""
ASKED_MAX: Final = 10_000

Answer = Callable[[int | None], None]


class Facts(Protocol):
    """What this asks of the member it serves."""

    @property
    def leading(self) -> bool: ...
    @property
    def ready(self) -> bool: ...
    @property
    def term(self) -> int: ...
    @property
    def commit(self) -> int: ...
    @property
    def applied(self) -> int: ...
    @property
    def leader(self) -> str | None: ...
    @property
    def others(self) -> frozenset[str]: ...
    @property
    def known(self) -> frozenset[str]: ...
    def unseat(self, member: str, term: int) -> None: ...


@dataclass(slots=True)
class _Asked:
    """A question and since when it waits; to another leader, until when."""

    at: float
    index: int
    answer: Answer


class Peers:
    """The others, as one member knows them."""

    def __init__(
        self, facts: Facts, send: Callable[[str, Message], bool], clock: Callable[[], float]
    ) -> None:
        self._facts = facts
        self._send = send
        self._clock = clock
        self.applied: dict[str, int] = {}
        self._heard: dict[str, float] = {}
        self._ponged: dict[str, float] = {}
        self._led_hears: tuple[float, dict[str, int]] = (-9.0, {})
        self._pinged = -1.0
        self._told = 0
        self._seq = random.getrandbits(48)  # an answer to who we were before is none (C12)
        self._term = -1  # of which `_acked` speaks; -1 while another leads
        self._acked: dict[str, float] = {}
        self._granted: dict[str, float] = {}  # until when a member may hold a lease
        self._leases: deque[tuple[float, int]] = deque(maxlen=32)
        self._led_at = -1.0
        self._unled: dict[str, float] = {}  # who said, when, that nobody leads it
        self._reads: list[_Asked] = []  # of anyone, while leading
        self._settles: list[_Asked] = []
        self._asked: dict[int, _Asked] = {}  # of ours, to another leader
        self._waiting: list[_Asked] = []  # to be applied here

    # Asked by this member

    def read(self, answer: Answer) -> None:
        """Call `answer` once everything committed before now is applied here; None when unknown."""
        if self._facts.leading:
            self._begin_read(self._await_applied(answer))
        else:
            self._ask("read", self._await_applied(answer))

    def settle(self, index: int, answer: Answer) -> None:
        """Call `answer` once no member may read by lease without having applied `index`."""
        if self._facts.leading:
            self._begin_settle(index, answer)
        else:
            self._ask("settle", answer, index=index)

    def lease_until(self) -> float:
        """Until when, on our clock, this member may read without asking; in the past: not now."""
        facts = self._facts
        if facts.leading:
            return self._evidence() + EVIDENCE_SECONDS if facts.ready else -1.0
        applied = facts.applied
        sent = max((sent for sent, commit in self._leases if commit <= applied), default=-9.0)
        return sent + LEASE_SECONDS

    def reachable(self) -> frozenset[str]:
        """The others that were heard lately."""
        since = self._clock() - REACHABLE_SECONDS
        return frozenset(m for m in self._facts.others if self._heard.get(m, -9.0) >= since)

    def answered(self, since: float) -> frozenset[str]:
        """The others that have answered a ping that was sent after `since`: they hear us."""
        return frozenset(member for member, sent in list(self._ponged.items()) if sent >= since)

    def quorum(self) -> bool:
        """Whether a write would find a leader and a majority, as far as is known here."""
        facts = self._facts
        if facts.leading:
            return facts.ready and self._clock() - self._evidence() < REACHABLE_SECONDS
        return facts.leader is not None and self._clock() - self._led_at < REACHABLE_SECONDS

    def shown(self) -> int | None:
        """What every healthy other member has applied; None when there is nobody to wait for.

        Healthy is who is heard here, or by the leader, whose word on it is a tenth of a second old.
        """
        facts = self._facts
        behind = facts.commit - LAG_MAX
        found = {m: self.applied.get(m, 0) for m in self.reachable()}
        at, heard = self._led_hears
        if not facts.leading and self._clock() - at < REACHABLE_SECONDS:
            for m in facts.others.intersection(heard).difference(found):
                found[m] = max(heard[m], self.applied.get(m, 0))
        return min((index for index in found.values() if index >= behind), default=None)

    def may_campaign(self) -> bool:
        """Whether a majority says that nobody leads it: without one an election only disturbs."""
        since = self._clock() - CANVASS_SECONDS
        others = self._facts.others
        unled = 1 + sum(self._unled.get(member, -9.0) >= since for member in others)
        return 2 * unled > len(others) + 1

    # Driven by the tick thread

    def led(self) -> None:
        """The leader spoke."""
        self._led_at = self._clock()

    def tick(self) -> None:
        """Ping, tell what was applied, and answer what can be answered."""
        now, facts = self._clock(), self._facts
        self._follow_leadership(now)
        if now - self._pinged >= PING_SECONDS:
            self._ping(now)
        if facts.applied != self._told:
            self._told = facts.applied
            for member in sorted(facts.others):
                self._send(member, {"type": "applied", "index": self._told})
        self._answer_waiting(now)

    def receive(self, member: str, message: Message) -> bool:
        """Take one of our own messages; False for PySyncObj's."""
        self._heard[member] = self._clock()
        match message["type"]:
            case "ping":
                self._applied(member, message["applied"])
                self._pong(member, message["sent"])
            case "pong":
                self._applied(member, message["applied"])
                self._on_pong(member, message)
            case "applied":
                self._applied(member, message["index"])
            case "read":
                seq = message["seq"]
                reply = {"type": "reading", "seq": seq}
                self._begin_read(lambda index: self._tell(member, reply | {"index": index}))
            case "settle":
                seq = message["seq"]
                self._begin_settle(
                    message["index"], lambda index: self._settled_at(member, seq, index)
                )
            case "reading" | "settled":
                if (asked := self._asked.pop(message["seq"], None)) is not None:
                    asked.answer(message.get("index", asked.index))
            case _:
                return False
        return True

    def _applied(self, member: str, index: int) -> None:
        self.applied[member] = max(index, self.applied.get(member, 0))

    def _ask(self, kind: str, answer: Answer, **fields: int) -> None:
        leader = self._facts.leader
        self._seq += 1
        message = {"type": kind, "seq": self._seq, **fields}
        if leader is None or len(self._asked) > ASKED_MAX or not self._send(leader, message):
            answer(None)
            return
        until = self._clock() + (SETTLE_SECONDS if kind == "settle" else ASK_SECONDS)
        self._asked[self._seq] = _Asked(until, fields.get("index", 0), answer)

    def _tell(self, member: str, message: Message) -> None:
        self._send(member, message)

    def _settled_at(self, member: str, seq: int, index: int | None) -> None:
        if index is not None:  # otherwise whoever asked hears nothing, and asks the next leader
            self._tell(member, {"type": "settled", "seq": seq})

    def _begin_read(self, answer: Answer) -> None:
        facts = self._facts
        if not facts.ready or len(self._reads) > ASKED_MAX:
            answer(None)
        elif not facts.others:
            answer(facts.commit)
        else:
            now = self._clock()
            self._reads.append(_Asked(now, facts.commit, answer))
            if self._pinged < now:
                self._pinged = -1.0  # ping in this tick

    def _begin_settle(self, index: int, answer: Answer) -> None:
        if self._facts.ready and len(self._settles) <= ASKED_MAX:
            self._settles.append(_Asked(self._clock(), index, answer))
        else:
            answer(None)

    def _await_applied(self, answer: Answer) -> Answer:
        def at(index: int | None) -> None:
            if index is None or index <= self._facts.applied:
                answer(index)
            else:
                self._waiting.append(_Asked(self._clock(), index, answer))

        return at

    def _follow_leadership(self, now: float) -> None:
        facts = self._facts
        term = facts.term if facts.leading else -1
        if term == self._term:
            return
        self._term = term
        self._acked.clear()
        given_up, self._reads, self._settles = [*self._reads, *self._settles], [], []
        for one in given_up:
            one.answer(None)
        if facts.leading:  # whoever led before may have granted leases, and holds one itself
            until = now + (EVIDENCE_SECONDS + LEASE_SECONDS) * CLOCK_MARGIN
            self._granted = dict.fromkeys(facts.known, until)

    def _ping(self, now: float) -> None:
        self._pinged = now
        for member in sorted(self._facts.others):
            self._send(member, {"type": "ping", "sent": now, "applied": self._facts.applied})

    def _pong(self, member: str, sent: float) -> None:
        facts, now = self._facts, self._clock()
        behind = any(one.index > self.applied.get(member, 0) for one in self._settles)
        follows = member in facts.others and not behind
        lease = facts.ready and follows and now - self._evidence() < EVIDENCE_SECONDS
        if lease:
            self._granted[member] = now + LEASE_SECONDS * CLOCK_MARGIN
        led = facts.leading or now - self._led_at < LED_SECONDS
        hears = {m: self.applied.get(m, 0) for m in self.reachable()} if facts.leading else {}
        self._send(
            member,
            {
                "type": "pong",
                "sent": sent,
                "term": facts.term,
                "applied": facts.applied,
                "commit": facts.commit,
                "lease": lease,
                "led": led,
                "hears": hears,
            },
        )

    def _on_pong(self, member: str, message: Message) -> None:
        facts, now = self._facts, self._clock()
        self._ponged[member] = message["sent"]
        if message["led"]:
            self._unled.pop(member, None)
        else:
            self._unled[member] = now
        if message["term"] > facts.term and facts.leading and member in facts.others:
            facts.unseat(member, message["term"])  # it follows nobody of an older term
        if message["term"] != facts.term or message["sent"] > now:
            return
        if facts.leading and self._term == facts.term:
            self._acked[member] = max(message["sent"], self._acked.get(member, -9.0))
            self._serve_reads()
        elif member == facts.leader:
            self._led_hears = now, message.get("hears", {})
            if message["lease"]:
                self._leases.append((message["sent"], message["commit"]))

    def _evidence(self) -> float:
        """The newest moment of which a quorum said that it followed us then."""
        facts = self._facts
        if not facts.leading or self._term != facts.term:
            return -9.0
        others = facts.others
        if not others:
            return self._clock()
        acked = sorted((self._acked.get(member, -9.0) for member in others), reverse=True)
        return acked[(len(others) + 1) // 2 - 1]

    def _serve_reads(self) -> None:
        evidence = self._evidence()
        served = [one for one in self._reads if one.at <= evidence]
        if served:
            self._reads = [one for one in self._reads if one.at > evidence]
            for one in served:
                one.answer(one.index)

    def _answer_waiting(self, now: float) -> None:
        applied = self._facts.applied
        if self._waiting:
            done = [one for one in self._waiting if one.index <= applied]
            self._waiting = [one for one in self._waiting if one.index > applied]
            for one in done:
                one.answer(one.index)
        if self._settles:
            done = [one for one in self._settles if self._settled(one.index, now)]
            self._settles = [one for one in self._settles if one not in done]
            for one in done:
                one.answer(one.index)
        for late in _expired(self._asked, now):
            late.answer(None)
        if self._reads and now - self._reads[0].at > ASK_SECONDS:
            given_up = [one for one in self._reads if now - one.at > ASK_SECONDS]
            self._reads = [one for one in self._reads if now - one.at <= ASK_SECONDS]
            for one in given_up:
                one.answer(None)

    def _settled(self, index: int, now: float) -> bool:
        return self._facts.applied >= index and all(
            until < now or self.applied.get(member, 0) >= index
            for member, until in self._granted.items()
        )


def _expired(asked: dict[int, _Asked], before: float) -> list[_Asked]:
    late = [seq for seq, one in asked.items() if one.at < before]
    return [asked.pop(seq) for seq in late]
