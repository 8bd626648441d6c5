"""Whose address a request comes from."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given, strategies as st

from hexhub.errors import Malformed
from hexhub.formats import addresses, rate_limits

PROXIES = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["192.0.2.7, 10.9.9.9"], "192.0.2.7"),
        ("10.0.0.1", ["203.0.113.9", "192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["203.0.113.9, 192.0.2.7, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["10.1.1.1"], "10.1.1.1"),
        ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
        ("2001:db8::1", ["2001:dead::7"], "2001:dead::7"),
        ("::ffff:10.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        ("", ["192.0.2.7"], ""),
    ],
)
def test_the_last_address_that_is_no_proxy_counts(
    peer: str, forwarded: list[str], expected: str
) -> None:
    assert addresses.client(peer, forwarded, PROXIES) == expected


@given(peer=st.text(), forwarded=st.lists(st.text()))
def test_whatever_is_written_there_is_answered(peer: str, forwarded: list[str]) -> None:
    assert isinstance(addresses.client(peer, forwarded, PROXIES), str)
    assert addresses.client("192.0.2.1", forwarded, PROXIES) == "192.0.2.1"


def test_limits_are_read_by_kind_of_caller() -> None:
    assert rate_limits.parse("true") == rate_limits.RateLimits()
    assert not rate_limits.parse("false")
    assert rate_limits.parse("ip=7, user=8") == rate_limits.RateLimits(ip=7, user=8)


def test_limits_are_read_by_group_of_routes() -> None:
    limits = rate_limits.parse("auth.ip=20 ip=7 publish.user=60 auth.ip=21")

    assert (limits.ip, limits.user) == (7, 500)
    assert limits.of_group("auth", "ip") == 21
    assert limits.of_group("publish", "user") == 60
    assert limits.of_group("auth", "user") is None
    assert rate_limits.parse(str(limits)) == limits


@pytest.mark.parametrize(
    "text",
    [
        "",
        "many",
        "ip=0",
        "ip=-1",
        "ip=1x",
        "ip=99999999",
        "node=3",
        "auth=3",
        "oauth.ip=3",
        "auth.ip=0",
        "auth.node=3",
        ".ip=3",
    ],
)
def test_other_limits_are_refused(text: str) -> None:
    with pytest.raises(Malformed):
        rate_limits.parse(text)
