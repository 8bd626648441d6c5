"""Addresses as people write them, and peers that are always the same."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from cluster.discovery import Fixed, Peer, Several, is_loopback, parse, split


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        ("hub1@10.0.0.1", Peer("hub1", "10.0.0.1", 5000)),
        ("hub1@10.0.0.1:5001", Peer("hub1", "10.0.0.1", 5001)),
        ("hub1@Node.Example.ORG:7", Peer("hub1", "node.example.org", 7)),
        ("hub1@[::1]:5001", Peer("hub1", "::1", 5001)),
        ("hub1@[fe80::1]", Peer("hub1", "fe80::1", 5000)),
        ("hub1@fe80::1", Peer("hub1", "fe80::1", 5000)),
    ],
)
def test_an_address_has_a_name_a_host_and_perhaps_a_port(text: str, peer: Peer) -> None:
    assert parse(text, 5000) == peer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hub1",
        "@host",
        "hub1@",
        "hub1@:5000",
        "hub1@host:",
        "hub1@host:0",
        "hub1@host:65536",
        "hub1@host:5_0",
        "hub1@host:port",
        "hub1@a b",
        "-hub@host",
        "hub1@http://host",
        "hub1@host:1:2",
    ],
)
def test_an_address_that_is_none_is_refused_with_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"name@host|port|host"):
        parse(text, 5000)


def test_whether_a_port_was_written_can_be_told() -> None:
    assert split("hub1@host") == ("hub1", "host", None)
    assert split("hub1@host:5000") == ("hub1", "host", 5000)


@given(st.text(max_size=80))
def test_whatever_is_written_is_an_address_or_refused(text: str) -> None:
    try:
        peer = parse(text, 5000)
    except ValueError:
        return
    assert parse(str(peer), 1) == peer


def test_what_stays_on_the_machine_is_known() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.1.2.3", "::1", "LocalHost"))
    assert not any(is_loopback(host) for host in ("10.0.0.1", "0.0.0.0", "hub.example.org"))


async def test_a_fixed_list_names_each_once_and_several_ways_add_up() -> None:
    one, two = Peer("a", "h", 1), Peer("b", "h", 2)
    assert await Fixed([one, two, one]).peers() == [one, two]
    both = Several([Fixed([two]), Fixed([one, two])])
    assert await both.peers() == [two, one]
    await both.close()
