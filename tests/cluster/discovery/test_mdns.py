"""Nodes that announce themselves, on the loopback."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

from cluster.discovery import Peer
from cluster.discovery.mdns import Mdns

SERVICE = f"_store{os.getpid()}._tcp.local."
"""Of this run alone: others on this machine announce the same names."""


async def _sees(mdns: Mdns, expected: list[Peer]) -> None:
    async with asyncio.timeout(10):
        while await mdns.peers() != expected:  # noqa: ASYNC110 - the network tells nobody
            await asyncio.sleep(0.05)


async def test_nodes_see_one_another_come_and_go() -> None:
    one, two = Peer("one", "127.0.0.1", 5001), Peer("two", "127.0.0.1", 5002)
    first = await Mdns.open(SERVICE, one.host, one)
    try:
        second = await Mdns.open(SERVICE, two.host, two)
        try:
            await _sees(first, [one, two])
            await _sees(second, [one, two])
            assert await first.find("two") == [two]
        finally:
            await second.close()
        await _sees(first, [one])
        assert await first.find("two", wait_s=0.0) == []
    finally:
        await first.close()


async def test_two_nodes_of_one_name_are_both_seen() -> None:
    one, same = Peer("one", "127.0.0.1", 5001), Peer("one", "127.0.0.1", 5002)
    first = await Mdns.open(SERVICE, one.host, one)
    try:
        second = await Mdns.open(SERVICE, same.host, same)
        try:
            await _sees(first, [one, same])
        finally:
            await second.close()
    finally:
        await first.close()


def test_zeroconf_is_imported_only_where_it_is_used() -> None:
    words = "import sys, cluster, cluster.discovery; sys.exit('zeroconf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", words], check=False).returncode == 0
