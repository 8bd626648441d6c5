"""How many requests a minute: fixed windows on the wall clock, for each user, organization, address.

Counted per node and not replicated: a request must not cost a write (http-api.md §1.12). What other
members counted a second ago is added (limit_exchange.py).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_network
from typing import TYPE_CHECKING

import msgspec

from cluster import Change
from hexhub.domain import networks
from hexhub.formats import addresses
from hexhub.formats.addresses import Address, Network
from hexhub.formats.rate_limits import READ, RateLimits
from hexhub.schema import KnownNetwork

if TYPE_CHECKING:
    from cluster import Store

WINDOW_S = 60
COUNTED_MAX = 200_000
"""Callers counted in one window; who comes later in it shares one count."""
TOLD_MAX = 5_000
IPV6_PREFIX = 64
"""What one subscriber of IPv6 is given: its addresses are counted together."""


class Told(msgspec.Struct, frozen=True):
    """What one member counted in a window; the greatest counts, by `KIND WHO` or `KIND WHO GROUP`."""

    window: int
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Counted:
    """Where a caller stands: `remaining` is never below 0, `reset` is in unix seconds."""

    limit: int
    remaining: int
    reset: int
    exceeded: bool
    message: str


class Limits:
    """The counts of one node."""

    def __init__(
        self, store: Store, limits: RateLimits, *, proxies: tuple[Network, ...] = ()
    ) -> None:
        self._store = store
        self._limits = limits
        self.proxies = proxies
        self._window = 0
        self._counts: Counter[str] = Counter()
        self._of_peers: dict[str, Told] = {}
        self._known: dict[str, tuple[Network, ...]] | None = None
        store.subscribe(self._changed)

    def adjust(self, limits: RateLimits, proxies: tuple[Network, ...]) -> None:
        """Go on with other numbers; what was counted stays counted."""
        self._limits, self.proxies = limits, proxies

    def _changed(self, change: Change) -> None:
        if change.keys is None or any(record is KnownNetwork for record, _ in change.keys):
            self._known = None

    def blocked(self, ip: str) -> bool:
        """Whether the operator wants nothing from this address."""
        blocked = self.networks(networks.BLOCKED)
        if not blocked:
            return False
        address = addresses.parse(ip)
        return address is not None and addresses.within(address, blocked)

    @property
    def counts(self) -> bool:
        """Whether requests are counted at all."""
        return bool(self._limits)

    def networks(self, rule: str) -> tuple[Network, ...]:
        """The networks that the operator treats so."""
        if self._known is None:
            with self._store.view() as view:
                rows = networks.known(view)
            self._known = {
                wanted: tuple(ip_network(row.network) for row in rows if row.rule == wanted)
                for wanted in (networks.BLOCKED, networks.UNLIMITED)
            }
        return self._known[rule]

    def count(
        self,
        ip: str,
        user: str | None,
        organization: str | None,
        now: datetime,
        *,
        group: str = READ,
    ) -> Counted | None:
        """Count a request to a group of routes; None for a caller without a limit.

        A group with a number of its own has a count of its own; all others share one.
        """
        address = addresses.parse(ip)
        if not self._limits or self._exempt(address):
            return None
        if organization is not None:
            kind, who, limit = "organization", organization, self._limits.organization
        elif user is not None:
            kind, who, limit = "user", user, self._limits.user
        else:
            kind, who, limit = "IP", _subscriber(address, ip), self._limits.ip
        second = int(now.timestamp())
        window = second // WINDOW_S
        self._begin(window)
        of_group = self._limits.of_group(group, kind.lower())
        apart = "" if of_group is None else f" {group}"
        limit = limit if of_group is None else of_group
        caller = f"{kind} {who}{apart}"
        if caller not in self._counts and len(self._counts) >= COUNTED_MAX:
            caller = f"{kind} others{apart}"
        self._counts[caller] += 1
        used = self._counts[caller] + sum(
            told.counts.get(caller, 0) for told in self._of_peers.values() if told.window == window
        )
        shown = ip if kind == "IP" else who
        return Counted(
            limit=limit,
            remaining=max(0, limit - used),
            reset=(window + 1) * WINDOW_S,
            exceeded=used > limit,
            message=f"API rate limit exceeded for {kind} {shown}",
        )

    def _begin(self, window: int) -> None:
        if window != self._window:
            self._window = window
            self._counts.clear()

    def told(self) -> Told:
        """What the other members should know."""
        return Told(self._window, dict(self._counts.most_common(TOLD_MAX)))

    def heard(self, member: str, told: Told) -> None:
        """Take what another member counted, in place of what it said before."""
        self._of_peers[member] = told

    def _exempt(self, address: Address | None) -> bool:
        if address is None:
            return False
        if address.is_loopback and not self.proxies:
            return True
        return addresses.within(address, self.networks(networks.UNLIMITED))


def _subscriber(address: Address | None, ip: str) -> str:
    if address is not None and address.version == 6:
        return str(ip_network((address, IPV6_PREFIX), strict=False))
    return ip
