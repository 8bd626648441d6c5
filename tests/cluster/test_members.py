"""Several members: every one takes writes, shows them, and may go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from cluster import (
    Change,
    Damaged,
    LinkRefused,
    Node,
    NoLeader,
    NotJoined,
    OutcomeUnknown,
    Schema,
    snapshots,
)
from cluster.links import Link
from cluster.mesh import Mesh
from cluster.snapshots import load
from tests.cluster.members import Members, Seen, get, known, until, written
from tests.cluster.tables import Counter, Note, increment, put


@pytest.fixture
async def members(tmp_path: Path) -> AsyncIterator[Members]:
    made = Members(tmp_path)
    yield made
    await made.close()


async def test_a_single_node_with_data_becomes_the_first_of_three(members: Members) -> None:
    a = await members.open("a")
    await a.store.transact(increment, "c")
    b = await members.join("b", a)
    c = await members.join("c", b)
    assert get(b, Counter, "c") == get(c, Counter, "c") == Counter(name="c", value=1)
    assert {member.name for member in a.members()} == {"a", "b", "c"}
    assert a.status().cluster == b.status().cluster == c.status().cluster
    assert await c.store.transact(increment, "c") == 2


async def test_a_write_through_any_member_is_shown_by_all_when_it_returns(
    members: Members,
) -> None:
    nodes = await members.three()
    for number in range(30):
        node = nodes[number % 3]
        assert await node.store.transact(increment, "c") == number + 1
        assert [get(one, Counter, "c").value for one in nodes] == [number + 1] * 3


async def test_writes_from_all_members_at_once_are_serializable(members: Members) -> None:
    nodes = await members.three()

    async def count(at: int) -> list[int]:
        return [await nodes[at].store.transact(increment, "c") for _ in range(20)]

    counted = await asyncio.gather(*(count(at) for at in range(3)))
    assert sorted(chain.from_iterable(counted)) == list(range(1, 61))


async def test_who_has_caught_up_misses_no_write_that_is_acknowledged_from_then_on(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though a member that does not lead hears later of it than the leader, and it is slow."""
    nodes = await members.three()
    leader = await members.leader(*nodes)
    writer, back = [node for node in nodes if node is not leader]
    dial = Mesh._dial

    async def late(mesh: Mesh, member: str, attempt: Any) -> None:
        if leader.raft.member not in (member, mesh._raft.member):
            await asyncio.sleep(1.5)
        await dial(mesh, member, attempt)

    monkeypatch.setattr(Mesh, "_dial", late)
    await back.close()
    back = await members.open(back.settings.name, bind=back.address)
    apply = back.raft.apply

    def slowly(index: int, entry: bytes) -> Any:
        time.sleep(0.03)
        return apply(index, entry)

    monkeypatch.setattr(back.raft, "apply", slowly)
    await back.caught_up()
    for _ in range(20):
        assert await writer.store.transact(increment, "c") == get(back, Counter, "c").value


async def test_a_member_that_only_the_leader_hears_is_waited_for_too(members: Members) -> None:
    a, b, c = await members.three()
    leader = await members.leader(a, b, c)
    writer, other = [node for node in (a, b, c) if node is not leader]
    for node, deaf_to in ((writer, other), (other, writer)):

        def cut_off(node: Node = node, member: str = deaf_to.raft.member) -> None:
            adopt = node.raft.carrier.adopt  # type: ignore[attr-defined]

            def take(link: Link) -> None:
                (Link.close if link.peer.member == member else adopt)(link)

            node.raft.carrier.adopt = take  # type: ignore[attr-defined]
            node.raft.carrier.drop(member)

        node.raft.call(cut_off)
    await until(lambda: other.raft.member not in writer.raft.peers.reachable())
    apply = other.raft.apply

    def slowly(index: int, entry: bytes) -> Any:
        time.sleep(0.03)
        return apply(index, entry)

    other.raft.apply = slowly  # type: ignore[method-assign]
    for _ in range(10):
        assert await writer.store.transact(increment, "c") == get(other, Counter, "c").value


async def test_subscribers_of_every_member_hear_of_a_write(members: Members) -> None:
    a, b, c = await members.three()
    heard: list[Change] = []
    c.store.subscribe(heard.append)
    await b.store.transact(put, Note(shelf="s", title="t"))
    assert [change.keys for change in heard] == [((Note, ("s", "t")),)]
    del a


async def test_without_a_quorum_writes_fail_by_name_and_reads_go_on(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = await members.three()
    await a.store.transact(increment, "c")
    await b.close()
    await c.close()
    loop = asyncio.get_running_loop()
    await until(lambda: not a.status().quorum)
    monkeypatch.setattr("cluster.store.DEADLINE_SECONDS", 1.0)
    start = loop.time()
    with pytest.raises((NoLeader, OutcomeUnknown)):
        await a.store.transact(increment, "c")
    with pytest.raises(NoLeader):
        await a.store.barrier()
    assert loop.time() - start < 8
    assert get(a, Counter, "c") == Counter(name="c", value=1)
    assert not a.lease_valid()


async def test_the_leader_may_go_and_come_back(members: Members) -> None:
    a, b, c = await members.three()
    await a.store.transact(increment, "c")
    await a.close()
    assert await written(b, increment, "c") == 2
    assert await c.store.transact(increment, "c") == 3
    a = await members.open("a")
    await a.store.barrier()
    assert get(a, Counter, "c").value == 3
    assert await a.store.transact(increment, "c") == 4


async def test_all_restart_at_once_and_know_one_another(members: Members) -> None:
    nodes = await members.three()
    await nodes[0].store.transact(increment, "c")
    ports = [node.address for node in nodes]
    await members.close()
    nodes = tuple(
        [await members.open(name, bind=address) for name, address in zip("abc", ports, strict=True)]
    )  # type: ignore[assignment]
    assert await written(nodes[1], increment, "c") == 2
    assert {member.name for member in nodes[2].members()} == {"a", "b", "c"}


async def test_members_that_all_come_back_elsewhere_find_one_another(members: Members) -> None:
    """As pods do: what they remember of one another is wrong, and discovery tells."""
    nodes = await members.three()
    await nodes[0].store.transact(increment, "c")
    await members.close()
    seen = Seen()
    moved = [await members.open(name, discovery=seen) for name in "abc"]
    assert {node.address for node in moved}.isdisjoint(node.address for node in nodes)
    seen.found = await known(*moved).peers()
    assert await written(moved[1], increment, "c") == 2
    await until(lambda: all(len(node.raft.peers.reachable()) == 2 for node in moved))


async def test_the_founder_does_not_write_alone_when_it_comes_back_alone(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its first command line, and nobody else there (C8)."""
    await members.three()
    await members.close()
    a = await members.open("a", expect=1)
    monkeypatch.setattr("cluster.store.DEADLINE_SECONDS", 2.5)
    with pytest.raises(NoLeader):
        await a.store.transact(increment, "c")


async def test_the_leader_can_be_moved(members: Members) -> None:
    a, b, c = await members.three()
    await (await members.leader(a, b, c)).transfer("b")
    await until(lambda: b.raft.ready)
    await c.transfer("c")
    await until(lambda: c.raft.ready)
    await a.transfer(None)
    await until(lambda: a.raft.ready or b.raft.ready)
    with pytest.raises(NotJoined, match="no member is called x"):
        await a.transfer("x")
    assert await a.store.transact(increment, "c") == 1


async def test_a_member_leaves_and_begins_anew_alone(members: Members) -> None:
    a, b, c = await members.three()
    await a.store.transact(increment, "c")
    for leaver, rest in ((c, [a, b]), (a, [b])):
        await leaver.leave()
        await until(lambda rest=rest: len(rest[0].members()) == len(rest))  # type: ignore[misc]
        assert leaver.status().removed
        await written(rest[-1], increment, "c")
    c = await members.reopen("c")
    assert get(c, Counter, "c") is None
    assert [member.name for member in c.members()] == ["c"]
    assert await c.store.transact(increment, "c") == 1
    with pytest.raises(NotJoined, match="only member"):
        await c.leave()


async def test_a_removed_member_knows_that_it_is_out(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = await members.three()
    await a.remove("c")
    await until(lambda: c.status().removed)
    assert not c.status().quorum
    monkeypatch.setattr("cluster.store.DEADLINE_SECONDS", 1.0)
    with pytest.raises(NoLeader):
        await c.store.transact(increment, "c")
    assert await b.store.transact(increment, "c") == 1


async def test_a_wiped_disk_is_another_member(members: Members) -> None:
    a, b, c = await members.three()
    await c.close()
    wiped = await members.open("c", directory=members.root / "other")
    with pytest.raises(NotJoined, match="called c is there already"):
        await wiped.join(a.address)
    await written(b, increment, "c")
    await a.remove("c")
    await wiped.join(a.address)
    c = await members.reopen("c", directory=members.root / "other")
    await until(lambda: c.raft.standing)
    assert get(c, Counter, "c").value == 1


async def test_a_member_behind_the_journal_is_sent_a_snapshot(members: Members) -> None:
    a, b, c = await members.three()
    heard: list[Change] = []
    address = c.address
    await c.close()
    for number in range(50):
        await a.store.transact(put, Note(shelf="s", title=str(number), text="x" * 1000))
    for node in (a, b):
        await node.snapshot()
        await node.store.transact(increment, "c")
        await node.snapshot()
    c = await members.open("c", bind=address)
    c.store.subscribe(heard.append)
    await until(lambda: get(c, Counter, "c") == Counter(name="c", value=2))
    assert any(change.keys is None for change in heard)
    with c.store.view() as view:
        assert view.count(Note, "s") == 50
    await c.store.transact(increment, "c")
    c = await members.reopen("c", bind=address)
    await c.store.barrier()
    assert get(c, Counter, "c").value == 3


def garble(node: Node) -> None:
    """Change a byte in the middle of a member's snapshot: its size and name stay."""
    folder = node.settings.directory / "snapshots"
    meta = load(folder)
    assert meta is not None
    with (folder / meta.file).open("r+b") as file:
        file.seek(meta.size // 2)
        changed = file.read(1)[0] ^ 1
        file.seek(meta.size // 2)
        file.write(bytes([changed]))


async def test_a_damaged_snapshot_is_taken_over_by_nobody_and_another_is_sent(
    members: Members,
) -> None:
    a, b, c = await members.three()
    address = c.address
    await c.close()
    for node in (a, b):
        await node.store.transact(increment, "c")
        await node.snapshot()
        await node.store.transact(increment, "c")
        await node.snapshot()
        garble(node)
    c = await members.open("c", bind=address)
    await until(lambda: get(c, Counter, "c") == Counter(name="c", value=4))
    assert await c.store.transact(increment, "c") == 5


async def test_nobody_joins_with_a_damaged_snapshot_and_the_next_one_is_whole(
    members: Members,
) -> None:
    a = await members.open("a")
    await a.store.transact(increment, "c")
    await a.snapshot()
    garble(a)
    b = await members.open("b")
    with pytest.raises(Damaged, match="try again"):
        await b.join(a.address)
    b = await members.reopen("b")
    assert [member.name for member in b.members()] == ["b"]
    await b.join(a.address)
    b = await members.reopen("b")
    await until(lambda: b.raft.standing)
    assert get(b, Counter, "c") == Counter(name="c", value=1)


@pytest.mark.long
async def test_pieces_of_a_snapshot_that_are_changed_or_lost_on_the_way_are_sent_again(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the links cannot let happen: the receiver trusts the digest, not them."""
    a, b, c = await members.three()
    address = c.address
    await c.close()
    for number in range(20):
        await a.store.transact(put, Note(shelf="s", title=str(number), text="x" * 50_000))
    for node in (a, b):
        await node.snapshot()
        await node.store.transact(increment, "c")
        await node.snapshot()
    spoiled: list[bytes] = []
    whole = snapshots._piece

    def spoil(sending: Any, content: bytes) -> bytes:
        if len(spoiled) < 2 and sending.number == 2:
            spoiled.append(content)
            if len(spoiled) == 1:
                return whole(sending, bytes(len(content)))
            sending.number += 1
        return whole(sending, content)

    monkeypatch.setattr(snapshots, "_piece", spoil)
    c = await members.open("c", bind=address)
    await until(lambda: get(c, Counter, "c") == Counter(name="c", value=2))
    assert len(spoiled) == 2
    with c.store.view() as view:
        assert view.count(Note, "s") == 20


async def test_a_revocation_waits_for_the_lease_of_a_member_that_is_cut_off(
    members: Members,
) -> None:
    a, b, c = await members.three()
    leader = await members.leader(a, b, c)
    cut = next(node for node in (a, b, c) if node is not leader)
    await until(cut.lease_valid)

    def cut_off() -> None:
        cut.raft.carrier.close()
        cut.raft.carrier.adopt = Link.close  # type: ignore[attr-defined]

    cut.raft.call(cut_off)
    await leader.store.revoke(put, Note(shelf="s", title="revoked"))
    assert not cut.lease_valid() or get(cut, Note, "s", "revoked") is not None


@pytest.mark.parametrize("changed", ["secret", "name", "schema", "address"])
async def test_who_does_not_belong_is_refused_with_words(members: Members, changed: str) -> None:
    a = await members.open("a")
    if changed == "secret":
        b = await members.open("b", secret=b"another secret than theirs")
        with pytest.raises(LinkRefused, match="secret"):
            await b.join(a.address)
    elif changed == "name":
        b = await members.open("a", directory=members.root / "b")
        members.nodes["first"] = a
        with pytest.raises(NotJoined, match="names must differ"):
            await b.join(a.address)
    elif changed == "address":
        b = await members.open("b", advertise="localhost")
        a._book.note({a.raft.member: b.address})
        with pytest.raises(NotJoined, match=r"b says that it is reached at .*, but a is"):
            await b.join(a.address)
    else:
        b = await members.open("b", schema=Schema(number=2))
        with pytest.raises(NotJoined, match="run the same version"):
            await b.join(a.address)
    await b.store.barrier()
