"""How the setting RATE_LIMITS is written: `true`, `false`, or `ip=100 user=500 auth.ip=20`.

`KIND=NUMBER` is for all requests of a kind of caller, `GROUP.KIND=NUMBER` for those to a group of
routes, which are then counted by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hexhub.errors import Malformed

MOST = 1_000_000
_WORDS = {"true": True, "on": True, "1": True, "yes": True}
_NO = frozenset({"false", "off", "0", "no"})

READ, WRITE, PUBLISH, AUTH = "read", "write", "publish", "auth"
GROUPS = (READ, WRITE, PUBLISH, AUTH)
"""Every route of the API is in one: what is asked, what is changed, tarballs and documentation sent,
and what makes or tests a credential (the OAuth endpoints, new accounts, passwords and keys)."""

_PAIR = re.compile(rf"(?:({'|'.join(GROUPS)})\.)?(ip|user|organization)=(\d{{1,7}})")


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Requests a minute for each kind of caller; false as a whole when there is no limit.

    `of_groups` has the numbers of groups of routes, by `GROUP.KIND`.
    """

    ip: int = 100
    user: int = 500
    organization: int = 500
    enabled: bool = True
    of_groups: Mapping[str, int] = field(default_factory=dict, hash=False)

    def of_group(self, group: str, kind: str) -> int | None:
        """What a kind of caller may ask of a group of routes; None where it has no own number."""
        return self.of_groups.get(f"{group}.{kind}")

    def __bool__(self) -> bool:
        return self.enabled

    def __str__(self) -> str:
        if not self.enabled:
            return "false"
        of_groups = "".join(f" {name}={number}" for name, number in self.of_groups.items())
        return f"ip={self.ip} user={self.user} organization={self.organization}{of_groups}"


def parse(text: str) -> RateLimits:
    """Read the setting; what it does not name keeps hexpm's number. Raises Malformed."""
    word = text.strip().lower()
    if word in _NO:
        return RateLimits(enabled=False)
    limits = RateLimits()
    if word in _WORDS:
        return limits
    pairs = [item for item in re.split(r"[,\s]+", word) if item]
    for pair in pairs:
        match = _PAIR.fullmatch(pair)
        if match is None or not 1 <= int(match[3]) <= MOST:
            raise Malformed(
                "must be true, false, or requests a minute such as"
                " ip=100 user=500 organization=500 auth.ip=20"
            )
        limits = _with(limits, match[1], match[2], int(match[3]))
    if not pairs:
        raise Malformed("must not be empty")
    return limits


def _with(limits: RateLimits, group: str | None, kind: str, number: int) -> RateLimits:
    if group is not None:
        return replace(limits, of_groups={**limits.of_groups, f"{group}.{kind}": number})
    if kind == "ip":
        return replace(limits, ip=number)
    if kind == "user":
        return replace(limits, user=number)
    return replace(limits, organization=number)
