"""When a majority is gone for good: one member's data begins a new cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cluster import Damaged, DataInUse, LinkRefused, NotJoined, recover
from tests.cluster.members import Members, get, until
from tests.cluster.tables import Counter, increment


@pytest.fixture
async def members(tmp_path: Path) -> AsyncIterator[Members]:
    made = Members(tmp_path)
    yield made
    await made.close()


async def test_one_member_goes_on_alone_and_refuses_the_old_ones(members: Members) -> None:
    a, b, _ = await members.three()
    await a.store.transact(increment, "c")
    await a.snapshot()
    await a.store.transact(increment, "c")
    old, applied = a.status().cluster, a.store.applied
    with pytest.raises(DataInUse):
        recover(a.settings.directory, name="a")
    await members.close()
    index, term = recover(a.settings.directory, name="a")
    assert index >= applied
    assert term >= 1
    a = await members.open("a")
    assert a.status().cluster != old
    assert [member.name for member in a.members()] == ["a"]
    assert await a.store.transact(increment, "c") == 3
    b = await members.open("b")
    with pytest.raises(LinkRefused, match="not of the cluster"):
        await b.streams.dial(a.address, "raft")
    with pytest.raises(NotJoined, match="must leave"):
        await b.join(a.address)
    fresh = await members.join("d", a)
    assert get(fresh, Counter, "c").value == 3
    await until(lambda: len(a.members()) == 2)


async def test_a_directory_without_data_is_not_recovered(tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="no data"):
        recover(tmp_path, name="a")
