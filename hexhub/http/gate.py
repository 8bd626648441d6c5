"""Which callers the hot path may answer: nobody from a blocked network, and by address only."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

import msgspec

from hexhub.formats import addresses
from hexhub.formats.addresses import Network
from hexhub.marks import NETWORKS, Marks

if TYPE_CHECKING:
    from hexhub.limits import Limits

SEEN_MAX = 10_000
BLOCKED, UNLIMITED = "blocked", "unlimited"
"""Words of schema.KnownNetwork."""


class AddressRules(msgspec.Struct, frozen=True):
    """What the operator says of addresses, as it goes to other processes; networks as text.

    `number`: what the word `NETWORKS` was when they were read. `limited`: whether requests to the
    API are counted at all.
    """

    number: int
    blocked: tuple[str, ...]
    unlimited: tuple[str, ...]
    proxies: tuple[str, ...]
    limited: bool


class Gate:
    """The rules about addresses of one moment."""

    def __init__(self, rules: AddressRules) -> None:
        self.rules = rules
        self._blocked = tuple(map(ip_network, rules.blocked))
        self._unlimited = tuple(map(ip_network, rules.unlimited))
        self._proxies: tuple[Network, ...] = tuple(map(ip_network, rules.proxies))
        self._seen: dict[tuple[str, bool], bool] = {}

    def client(self, peer: str, forwarded: str) -> str:
        """The client's address: the peer's, or what a proxy of ours says of it."""
        if not self._proxies:
            return peer
        return addresses.client(peer, [forwarded] if forwarded else [], self._proxies)

    def admits(self, ip: str, *, limited: bool) -> bool:
        """Whether this caller may be answered; `limited`: with what counts against its limit."""
        counted = limited and self.rules.limited
        if not self._blocked and not counted:
            return True
        admitted = self._seen.get((ip, counted))
        if admitted is None:
            if len(self._seen) >= SEEN_MAX:
                self._seen.clear()
            admitted = self._seen[ip, counted] = self._judge(ip, counted)
        return admitted

    def _judge(self, ip: str, counted: bool) -> bool:
        address = addresses.parse(ip)
        if address is None:
            return not counted
        if addresses.within(address, self._blocked):
            return False
        if not counted:
            return True
        near = address.is_loopback and not self._proxies
        return near or addresses.within(address, self._unlimited)


class CurrentGate:
    """The rules as they are now; called for each answer."""

    def __init__(self, limits: Limits, marks: Marks) -> None:
        self._limits = limits
        self._marks = marks
        self._gate: Gate | None = None

    def __call__(self) -> Gate:
        number = self._marks.number(NETWORKS)
        if self._gate is None or self._gate.rules.number != number:
            self._gate = Gate(self._read(number))
        return self._gate

    def _read(self, number: int) -> AddressRules:
        limits = self._limits
        return AddressRules(
            number=number,
            blocked=tuple(map(str, limits.networks(BLOCKED))),
            unlimited=tuple(map(str, limits.networks(UNLIMITED))),
            proxies=tuple(map(str, limits.proxies)),
            limited=limits.counts,
        )
