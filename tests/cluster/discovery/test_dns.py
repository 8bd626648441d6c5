"""Peers behind a DNS name whose answers change."""

from __future__ import annotations

import logging

import pytest

from cluster.discovery import Peer, dns
from cluster.discovery.dns import Dns
from tests.cluster.discovery.nameserver import nameserver

NAME = "hub.example.org"


async def test_each_question_gets_the_addresses_of_now() -> None:
    async with nameserver() as (server, resolver):
        found = Dns(NAME, 5000, resolver)
        assert await found.peers() == []
        server.zone[NAME, "A"] = ["10.0.0.2", "10.0.0.1"]
        server.zone[NAME, "AAAA"] = ["fd00::1"]
        assert await found.peers() == [
            Peer("", "10.0.0.1", 5000),
            Peer("", "10.0.0.2", 5000),
            Peer("", "fd00::1", 5000),
        ]
        server.zone = {(NAME, "A"): ["10.0.0.3"]}
        assert await found.peers() == [Peer("", "10.0.0.3", 5000)]


async def test_service_records_bring_names_and_ports() -> None:
    async with nameserver() as (server, resolver):
        server.zone["_cluster._tcp." + NAME, "SRV"] = [
            f"0 50 5001 hub-0.{NAME}.",
            f"0 50 5002 hub-1.{NAME}.",
        ]
        server.zone[NAME, "A"] = ["10.0.0.1"]
        expected = [Peer("hub-0", f"hub-0.{NAME}", 5001), Peer("hub-1", f"hub-1.{NAME}", 5002)]
        assert await Dns(NAME, 5000, resolver).peers() == expected
        assert await Dns("_cluster._tcp." + NAME, 5000, resolver).peers() == expected


@pytest.mark.parametrize("fault", ["mute", "fails"])
async def test_while_no_server_answers_the_last_peers_stay(
    fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dns, "ASK_SECONDS", 0.1)
    async with nameserver() as (server, resolver):
        server.zone[NAME, "A"] = ["10.0.0.1"]
        found = Dns(NAME, 5000, resolver)
        before = await found.peers()
        setattr(server, fault, True)
        with caplog.at_level(logging.WARNING):
            assert await found.peers() == before
            assert await found.peers() == before
        assert len(caplog.records) == 1
        setattr(server, fault, False)
        server.zone = {}
        assert await found.peers() == []


async def test_a_flood_of_answers_is_cut_off() -> None:
    async with nameserver() as (server, resolver):
        server.zone[NAME, "A"] = [f"10.0.0.{n}" for n in range(1, 80)]
        resolver.lifetime = 1.0
        assert len(await Dns(NAME, 5000, resolver).peers()) == 64
