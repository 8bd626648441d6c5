"""Where a request comes from: the peer, or what a named proxy says of it (http-api.md §1.12)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

HOPS_MAX = 32


def client(peer: str, forwarded: Iterable[str], proxies: Sequence[Network]) -> str:
    """The right-most address of `X-Forwarded-For` that is no proxy of ours, else the peer's own.

    `forwarded` is every such header in order. Whoever is no named proxy is believed nothing.
    """
    address = parse(peer)
    if address is None or not within(address, proxies):
        return peer
    found = peer
    hops = [hop.strip() for line in forwarded for hop in line.split(",")]
    for hop in reversed(hops[-HOPS_MAX:]):
        address = parse(hop)
        if address is None:
            return found
        found = str(address)
        if not within(address, proxies):
            return found
    return found


def parse(text: str) -> Address | None:
    """An address; one of IPv4 in the form of IPv6 is the former."""
    try:
        address = ip_address(text.strip("[]"))
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address
    return address


IPV6_PREFIX = 64
"""What one subscriber of IPv6 is given: its addresses are counted together."""


def subscriber(text: str) -> str:
    """Whose address this is, as far as it can be told: for IPv6 its network; what is none stays."""
    address = parse(text)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, IPV6_PREFIX), strict=False))
    return text


def within(address: Address, networks: Iterable[Network]) -> bool:
    """Whether an address is in one of these networks."""
    return any(address.version == network.version and address in network for network in networks)
