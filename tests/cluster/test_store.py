"""Proposals that are refused, lost, answered wrongly or sent twice."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import pytest

from cluster import (
    Conflict,
    DiskFull,
    Node,
    NoLeader,
    OutcomeUnknown,
    Overloaded,
    command,
    store as store_module,
)
from cluster.machine import Applied, Outcome
from cluster.table import pack
from tests.cluster.conftest import OpenNode
from tests.cluster.tables import Counter, Note, increment, put, schema

Answer = Callable[[Applied | None, bool], None]


class Link:
    """Stands between a store and what orders its entries."""

    ready = alone = lease_valid = True
    lease_seconds = 1.0

    def __init__(self, node: Node) -> None:
        self.node = node
        self.real = node.raft
        self.sent: list[bytes] = []
        node.store.attach(self)

    def read(self, answer: Callable[[int | None], None]) -> None:
        self.real.read(answer)

    def settle(self, index: int, answer: Callable[[int | None], None]) -> None:
        self.real.settle(index, answer)

    def propose(self, entry: bytes, answer: Answer) -> None:
        self.sent.append(entry)
        self.pass_on(entry, answer)

    def pass_on(self, entry: bytes, answer: Answer) -> None:
        self.real.propose(entry, answer)


class LosesTheFirstAnswer(Link):
    def pass_on(self, entry: bytes, answer: Answer) -> None:
        def lost(done: Applied | None, certain: bool) -> None:
            answer(None, False)

        self.real.propose(entry, lost if len(self.sent) == 1 else answer)


class AnswersForAnother(Link):
    """What a member may hear when it restarted: the outcome of a request it did not make (C12)."""

    def pass_on(self, entry: bytes, answer: Answer) -> None:
        if len(self.sent) == 1:
            answer(Applied(9, ((os.urandom(16), Outcome.COMMITTED),), ()), False)
        else:
            self.real.propose(entry, answer)


class NeverLeads(Link):
    def pass_on(self, entry: bytes, answer: Answer) -> None:
        answer(None, True)


class NeverAnswers(Link):
    def pass_on(self, entry: bytes, answer: Answer) -> None:
        pass


class AlwaysFirst(Link):
    """Changes the counter before every proposal."""

    def pass_on(self, entry: bytes, answer: Answer) -> None:
        value = schema.of(Counter).encode(Counter(name="c", value=len(self.sent)))
        key = b"counters\x00" + pack(("c",))
        word = command.Commit((), (), (command.Write(key, value),))
        other = command.encode(command.Proposal(os.urandom(16), word))
        self.real.propose(command.join([other]), lambda done, certain: None)
        self.real.propose(entry, answer)


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "DEADLINE_SECONDS", 0.4)
    monkeypatch.setattr(store_module, "ATTEMPT_SECONDS", 0.1)


async def test_a_write_whose_answer_was_lost_is_sent_again_and_applied_once(node: Node) -> None:
    link = LosesTheFirstAnswer(node)
    assert await node.store.transact(increment, "c") == 1
    assert len(link.sent) == 2
    assert link.sent[0] == link.sent[1]
    with node.store.view() as view:
        assert view.get(Counter, "c") == Counter(name="c", value=1)


async def test_the_answer_to_another_request_acknowledges_nothing(node: Node) -> None:
    link = AnswersForAnother(node)
    await node.store.transact(put, Note(shelf="a", title="t"))
    assert len(link.sent) == 2
    with node.store.view() as view:
        assert view.get(Note, "a", "t") is not None


async def test_a_proposal_is_applied_once_across_a_restart(open_node: OpenNode) -> None:
    node = await open_node()
    link = Link(node)
    await node.store.transact(increment, "c")
    await node.close()
    node = await open_node()
    again: asyncio.Future[Applied | None] = asyncio.get_running_loop().create_future()
    node.raft.propose(link.sent[0], lambda done, _: node.store.post(again.set_result, done))
    done = await again
    assert done is not None
    assert [outcome for _, outcome in done.outcomes] == [Outcome.COMMITTED]
    assert done.changed == ()
    with node.store.view() as view:
        assert view.get(Counter, "c") == Counter(name="c", value=1)


@pytest.mark.usefixtures("hurry")
async def test_without_a_leader_the_write_is_surely_not_applied(node: Node) -> None:
    NeverLeads(node)
    with pytest.raises(NoLeader):
        await node.store.transact(put, Note(shelf="a", title="t"))


@pytest.mark.usefixtures("hurry")
async def test_without_an_answer_the_outcome_is_unknown(node: Node) -> None:
    NeverAnswers(node)
    with pytest.raises(OutcomeUnknown):
        await node.store.transact(put, Note(shelf="a", title="t"))


@pytest.mark.usefixtures("hurry")
async def test_a_full_disk_after_an_unanswered_attempt_is_not_called_certain(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    NeverAnswers(node)
    rooms = iter([True])
    monkeypatch.setattr(node.store, "_room", lambda: next(rooms, False))
    with pytest.raises(OutcomeUnknown):
        await node.store.transact(put, Note(shelf="a", title="t"))


async def test_work_that_always_loses_ends_in_a_conflict(node: Node) -> None:
    AlwaysFirst(node)
    with pytest.raises(Conflict, match="increment"):
        await node.store.transact(increment, "c")


async def test_a_full_queue_refuses_at_once(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "QUEUE_ITEMS_MAX", 4)
    results = await asyncio.gather(
        *(node.store.transact(put, Note(shelf="a", title=str(i))) for i in range(10)),
        return_exceptions=True,
    )
    refused = [one for one in results if isinstance(one, Overloaded)]
    assert len(refused) == 6
    with node.store.view() as view:
        assert view.count(Note) == 4


async def test_many_writes_share_an_entry(node: Node) -> None:
    link = Link(node)
    await asyncio.gather(
        *(node.store.transact(put, Note(shelf="a", title=str(i))) for i in range(300))
    )
    assert len(link.sent) < 10
    with node.store.view() as view:
        assert view.count(Note) == 300


async def test_an_entry_is_no_longer_than_a_batch_may_be(node: Node) -> None:
    link = Link(node)
    await asyncio.gather(
        *(
            node.store.transact(put, Note(shelf="a", title=str(i), text="x" * 100_000))
            for i in range(20)
        )
    )
    assert max(map(len, link.sent)) <= store_module.BATCH_BYTES_MAX + 10
    assert len(link.sent) >= 4


async def test_a_disk_without_room_refuses_writes_and_serves_reads(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node.store, "_room", node.settings.takes_writes)  # looked at each time
    await node.store.transact(put, Note(shelf="a", title="t"))
    before = node.status()
    monkeypatch.setattr("cluster.settings.free_bytes", lambda path: -1)
    with pytest.raises(DiskFull):
        await node.store.transact(put, Note(shelf="a", title="u"))
    assert node.status().commit == before.commit
    with node.store.view() as view:
        assert view.count(Note) == 1
    monkeypatch.undo()
    await node.store.transact(put, Note(shelf="a", title="u"))
