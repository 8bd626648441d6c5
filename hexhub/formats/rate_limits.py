"""How the setting RATE_LIMITS is written: `true`, `false`, or `ip=100 user=500 organization=500`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from hexhub.errors import Malformed

MOST = 1_000_000
_WORDS = {"true": True, "on": True, "1": True, "yes": True}
_NO = frozenset({"false", "off", "0", "no"})
_PAIR = re.compile(r"(ip|user|organization)=(\d{1,7})")


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Requests a minute for each kind of caller; false as a whole when there is no limit."""

    ip: int = 100
    user: int = 500
    organization: int = 500
    enabled: bool = True

    def __bool__(self) -> bool:
        return self.enabled

    def __str__(self) -> str:
        if not self.enabled:
            return "false"
        return f"ip={self.ip} user={self.user} organization={self.organization}"


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
        if match is None or not 1 <= int(match[2]) <= MOST:
            raise Malformed(
                "must be true, false, or requests a minute such as ip=100 user=500 organization=500"
            )
        limits = _with(limits, match[1], int(match[2]))
    if not pairs:
        raise Malformed("must not be empty")
    return limits


def _with(limits: RateLimits, kind: str, number: int) -> RateLimits:
    if kind == "ip":
        return replace(limits, ip=number)
    if kind == "user":
        return replace(limits, user=number)
    return replace(limits, organization=number)
