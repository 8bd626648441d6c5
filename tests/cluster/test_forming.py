"""Nodes without data find one another: they join what is there, and form only by promise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cluster import Node, NoLeader, boot
from cluster.discovery import Discovery
from cluster.promises import keep_promise, promised
from tests.cluster.members import Members, Seen, get, known, until
from tests.cluster.tables import Counter, increment


@pytest.fixture
async def members(tmp_path: Path) -> AsyncIterator[Members]:
    made = Members(tmp_path)
    yield made
    await made.close()


async def fresh(members: Members, name: str, seen: Discovery, expect: int = 3) -> Node:
    return await members.open(name, clustering=True, expect=expect, discovery=seen)


def joined(node: Node) -> bool:
    return node.status().role in ("leader", "follower") and node.status().quorum


async def test_three_fresh_nodes_form_one_cluster(members: Members) -> None:
    seen = Seen()
    nodes = [await fresh(members, name, seen) for name in ("b", "c", "a")]
    with pytest.raises(NoLeader):
        _ = nodes[0].raft
    seen.found = await known(*nodes).peers()
    await until(lambda: all(joined(node) for node in nodes))
    assert len({node.status().cluster for node in nodes}) == 1
    assert {member.name for member in nodes[0].members()} == {"a", "b", "c"}
    assert await nodes[1].store.transact(increment, "c") == 1
    assert [get(node, Counter, "c").value for node in nodes] == [1, 1, 1]


async def test_too_few_fresh_nodes_form_nothing(members: Members) -> None:
    seen = Seen()
    nodes = [await fresh(members, name, seen) for name in ("a", "b")]
    seen.found = await known(*nodes).peers()
    await asyncio.sleep(1.5)
    assert [node.status().role for node in nodes] == ["joining", "joining"]
    assert "3 fresh nodes" in nodes[0].status().waits_for
    assert boot.is_fresh(nodes[0].settings.directory)


async def test_a_fresh_node_joins_what_is_there_whatever_it_expects(members: Members) -> None:
    a = await members.open("a")
    await a.store.transact(increment, "c")
    b = await fresh(members, "b", known(a), expect=2)
    await until(lambda: joined(b))
    assert b.status().cluster == a.status().cluster
    assert get(b, Counter, "c").value == 1


async def test_who_has_promised_to_one_promises_to_no_other(members: Members) -> None:
    """Kept across a restart; without it two nodes could form with the same third."""
    seen = Seen()
    c = await fresh(members, "c", seen)
    keep_promise(c.settings.directory, "a")
    c = await members.reopen("c", clustering=True, expect=3, discovery=seen)
    b = await fresh(members, "b", seen, expect=2)
    seen.found = await known(b, c).peers()
    await until(lambda: "promises" in b.status().waits_for)
    await asyncio.sleep(1)
    assert promised(c.settings.directory) == "a"
    assert b.status().role == c.status().role == "joining"


async def test_two_nodes_of_one_name_do_not_form(members: Members) -> None:
    seen = Seen()
    first = await fresh(members, "a", seen, expect=2)
    second = await members.open(
        "a", directory=members.root / "other", clustering=True, expect=2, discovery=seen
    )
    members.nodes["first"] = first
    seen.found = await known(first, second).peers()
    await asyncio.sleep(1)
    assert first.status().role == second.status().role == "joining"


async def test_a_node_with_a_journal_never_forms(members: Members) -> None:
    seen = Seen()
    b = await members.open("b")
    await b.store.transact(increment, "c")
    cluster = b.status().cluster
    b = await members.reopen("b", clustering=True, expect=3, discovery=seen)
    assert b.status().cluster == cluster
    assert await b.store.transact(increment, "c") == 2
