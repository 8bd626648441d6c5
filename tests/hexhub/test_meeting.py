"""How nodes find one another: what an operator wrote, this checkout's files, mDNS, the default port."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.discovery import Peer
from cluster.discovery.mdns import Mdns
from hexhub import meeting, running
from hexhub.config import Config, load
from hexhub.errors import Invalid
from hexhub.meeting import SERVICE, Meeting


def _config(checkout: Path, **settings: str) -> Config:
    return load({"PORT": "4000"} | settings, checkout=checkout)


@pytest.fixture
def announced(tmp_path: Path) -> Iterator[None]:
    """A node `b` that runs from this checkout with the cluster port 5501."""
    seen = running.announce(
        tmp_path,
        running.Running("b", os.getpid(), "127.0.0.1", 4501, "http://h", "/d", "127.0.0.1", 5501),
    )
    assert seen is not None
    yield
    seen.withdraw()


@pytest.mark.usefixtures("announced")
async def test_a_port_that_was_written_holds(tmp_path: Path) -> None:
    async with Meeting.open(_config(tmp_path)) as ways:
        assert await ways.resolve("b@127.0.0.1:7") == Peer("b", "127.0.0.1", 7)


@pytest.mark.usefixtures("announced")
async def test_on_this_machine_the_files_of_the_checkout_tell_the_port(tmp_path: Path) -> None:
    async with Meeting.open(_config(tmp_path)) as ways:
        assert await ways.resolve("b@localhost") == Peer("b", "localhost", 5501)


async def test_then_mdns_tells_the_port(tmp_path: Path) -> None:
    elsewhere = await Mdns.open(SERVICE, "127.0.0.1", Peer("c", "127.0.0.1", 5502))
    try:
        async with Meeting.open(_config(tmp_path)) as ways:
            assert await ways.resolve("c@127.0.0.1") == Peer("c", "127.0.0.1", 5502)
    finally:
        await elsewhere.close()


async def test_else_it_is_the_default_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "FIND_S", 0.1)
    async with Meeting.open(_config(tmp_path, PORT="4700")) as ways:
        assert await ways.resolve("nobody@127.0.0.1") == Peer("nobody", "127.0.0.1", 5000)


@pytest.mark.parametrize("target", ["b", "b@", "b@h:0", "b@h h"])
async def test_what_is_no_address_is_refused(tmp_path: Path, target: str) -> None:
    async with Meeting.open(_config(tmp_path)) as ways:
        with pytest.raises(Invalid, match="target"):
            await ways.resolve(target)


@pytest.mark.usefixtures("announced")
async def test_listed_nodes_without_a_port_have_this_nodes_or_are_of_this_checkout(
    tmp_path: Path,
) -> None:
    config = _config(tmp_path, CLUSTER_NODES="a@10.0.0.1,b@127.0.0.1,c@10.0.0.3:9")
    async with Meeting.open(config) as ways:
        assert await ways.discovery.peers() == [
            Peer("a", "10.0.0.1", 5000),
            Peer("b", "127.0.0.1", 5501),
            Peer("c", "10.0.0.3", 9),
        ]


@pytest.mark.usefixtures("announced")
async def test_on_one_machine_nodes_meet_by_files_without_any_setting(tmp_path: Path) -> None:
    async with Meeting.open(_config(tmp_path)) as ways:
        assert await ways.discovery.peers() == [Peer("b", "127.0.0.1", 5501)]


async def test_a_cluster_to_be_announces_itself(tmp_path: Path) -> None:
    config = _config(tmp_path, CLUSTERING_ENABLED="true")
    seen = await Mdns.open(SERVICE, "127.0.0.1")
    try:
        async with Meeting.open(config) as ways, asyncio.timeout(10):
            me = Peer("hex_hub1", "127.0.0.1", 5000)
            assert await seen.find("hex_hub1", wait_s=8.0) == [me]
            while me not in await ways.discovery.peers():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        await seen.close()


def test_a_name_to_advertise_is_not_where_a_node_listens(tmp_path: Path) -> None:
    config = _config(
        tmp_path, HEXHUB_HOST="0.0.0.0", CLUSTER_ADVERTISE="hub1", HEXHUB_PLAIN_HTTP="true"
    )
    assert meeting.advertised(config) == ("hub1", 5000)
    assert meeting.bound(config) == ("0.0.0.0", 5000)
    config = _config(tmp_path, CLUSTER_ADVERTISE="10.0.0.1")
    assert meeting.advertised(config) == meeting.bound(config) == ("10.0.0.1", 5000)
