"""Where other members may be: a Discovery names addresses to ask, and never decides anything.

Three ways: a fixed list (here), the addresses behind a DNS name (`dns`), and nodes that announce
themselves on the network (`mdns`). Each is imported only by whoever uses it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

PEERS_MAX = 64
"""No way of discovery names more than this many; a flood of answers is cut off."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?")
_ADDRESS = re.compile(
    r"(?:\[(?P<bracketed>[^\[\]]+)\]|(?P<host>[^\[\]]+?))(?::(?P<port>[0-9]{1,5}))?"
)


@dataclass(frozen=True, slots=True, order=True)
class Peer:
    """An address where a member may listen. `name` is empty where only the address is known."""

    name: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.name}@{host}:{self.port}" if self.name else f"{host}:{self.port}"


class Discovery(Protocol):
    """A way to find peers. It may name this node itself, and nodes that do not live any more."""

    async def peers(self) -> list[Peer]:
        """Who may be there now; empty when nobody is found. Raises nothing for a network's sake."""
        ...

    async def close(self) -> None:
        """Stop listening and announcing."""
        ...


class Fixed:
    """The same peers always."""

    def __init__(self, peers: Iterable[Peer]) -> None:
        self._peers = tuple(dict.fromkeys(peers))[:PEERS_MAX]

    async def peers(self) -> list[Peer]:
        return list(self._peers)

    async def close(self) -> None:
        pass


class Several:
    """What any of several ways finds, in their order."""

    def __init__(self, ways: Sequence[Discovery]) -> None:
        self._ways = tuple(ways)

    async def peers(self) -> list[Peer]:
        found: dict[Peer, None] = {}
        for way in self._ways:
            found |= dict.fromkeys(await way.peers())
        return list(found)[:PEERS_MAX]

    async def close(self) -> None:
        for way in self._ways:
            await way.close()


def parse(text: str, default_port: int) -> Peer:
    """`name@host[:port]`, an IPv6 address in brackets. Raises ValueError, whose text says why."""
    name, host, port = split(text)
    return Peer(name, host, default_port if port is None else port)


def split(text: str) -> tuple[str, str, int | None]:
    """The parts of `name@host[:port]`; None where there is no port. Raises ValueError."""
    name, at, address = text.partition("@")
    match = _ADDRESS.fullmatch(address)
    if not at or not is_name(name) or match is None:
        raise ValueError(f"{text!r} is not name@host or name@host:port")
    host, digits = match["bracketed"] or match["host"], match["port"]
    if _is_ipv6(address):
        host, digits = address, None
    if not is_host(host):
        raise ValueError(f"the host in {text!r} is no host name and no address")
    port = None if digits is None else int(digits)
    if port is not None and not 1 <= port <= 65535:
        raise ValueError(f"the port in {text!r} is not a number from 1 to 65535")
    return name, host.lower(), port


def is_name(text: str) -> bool:
    """Whether a node can have this name."""
    return _NAME.fullmatch(text) is not None


def is_host(text: str) -> bool:
    """Whether this is a host name or an IP address."""
    return _HOST.fullmatch(text) is not None or _is_ipv6(text)


def is_loopback(host: str) -> bool:
    """Whether an address stays on its own machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False
