"""Failed guesses of passwords and codes: how many within a while, for each guesser.

Counted per node and not replicated: a guess must not cost a write.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from hexhub.formats import addresses

GUESSERS_MAX = 50_000


@dataclass(frozen=True, slots=True)
class Limit:
    """So many failures of one guesser, within this time."""

    name: str
    failures: int
    within: timedelta


SIGN_IN = Limit("sign-in", 10, timedelta(minutes=15))
OTP_OF_USER = Limit("one-time password", 5, timedelta(minutes=10))
OTP_OF_IP = Limit("one-time password", 20, timedelta(minutes=15))
DEVICE_OF_USER = Limit("device code", 10, timedelta(minutes=15))
DEVICE_OF_IP = Limit("device code", 30, timedelta(minutes=15))
RESET_OF_IP = Limit("password reset", 10, timedelta(minutes=15))
MAIL_OF_USER = Limit("mail", 10, timedelta(minutes=60))


class Attempts:
    """Counts failures; when `enabled` is off nothing is ever too much (http-api.md §9)."""

    def __init__(self, *, enabled: bool = True) -> None:
        self._enabled = enabled
        self._failures: OrderedDict[tuple[Limit, str], deque[datetime]] = OrderedDict()

    def exhausted(self, limit: Limit, who: str, now: datetime) -> bool:
        """Whether this guesser has to wait."""
        failures = self._failures.get((limit, addresses.subscriber(who)))
        if not self._enabled or failures is None:
            return False
        while failures and now - failures[0] >= limit.within:
            failures.popleft()
        return len(failures) >= limit.failures

    def failed(self, limit: Limit, who: str, now: datetime) -> None:
        """Count a failure. Beyond the bound the guesser that was quiet longest is forgotten."""
        guesser = (limit, addresses.subscriber(who))
        failures = self._failures.setdefault(guesser, deque(maxlen=limit.failures))
        failures.append(now)
        self._failures.move_to_end(guesser)
        if len(self._failures) > GUESSERS_MAX:
            self._failures.popitem(last=False)
