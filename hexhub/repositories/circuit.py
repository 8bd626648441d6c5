"""A circuit breaker: after failures the upstream is left alone for a while, then tried by one request."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from hexhub.errors import Unreachable
from hexhub.patience import NOT_BY_ITSELF_S, WAITED_OUT

State: TypeAlias = Literal["closed", "open", "half-open"]

FAILURES_MAX = 5
"""Failed requests in a row that open the circuit."""
OPEN_MIN = timedelta(seconds=5)
OPEN_MAX = timedelta(seconds=60)
HOLD_MAX = timedelta(seconds=300)
"""Longest that an upstream may ask to be left alone."""


class Circuit:
    """Closed: all requests pass. Open: none. Half-open: one, whose outcome decides."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._failures = 0
        self._open_for = OPEN_MIN
        self._until: datetime | None = None
        self._failing_since: datetime | None = None
        self._probing = False
        self.last_error: str | None = None
        self.last_answer: datetime | None = None
        """When the upstream last answered."""

    @property
    def state(self) -> State:
        if self._until is None:
            return "closed"
        return "open" if self._now() < self._until else "half-open"

    def again_in(self, seconds: float) -> int:
        """After how many seconds a client may be told to come again (`hexhub/patience.py`)."""
        since = self._failing_since
        long = since is not None and self._now() - since > WAITED_OUT
        return max(NOT_BY_ITSELF_S if long else 1, round(seconds))

    def enter(self) -> None:
        """Ask for leave to send a request. Raises Unreachable."""
        state = self.state
        if state == "open" or (state == "half-open" and self._probing):
            assert self._until is not None
            left = (self._until - self._now()).total_seconds()
            raise Unreachable(f"the upstream is left alone: {self.last_error}", self.again_in(left))
        self._probing = state == "half-open"

    def succeeded(self) -> None:
        """The upstream answered, be it with a 404."""
        self.last_answer = self._now()
        self._failures, self._until, self._probing = 0, None, False
        self._failing_since = None
        self._open_for, self.last_error = OPEN_MIN, None

    def failed(self, error: str) -> None:
        """A request failed."""
        self._failures += 1
        self._failing_since = self._failing_since or self._now()
        self.last_error = error
        if self._probing or self._failures >= FAILURES_MAX:
            self.open(error)

    def abandoned(self) -> None:
        """A request was given up on before its outcome was known."""
        self._probing = False

    def try_now(self) -> None:
        """Let the next request pass although the circuit is open: somebody wants to know."""
        if self._until is not None:
            self._until = min(self._until, self._now())

    def open(self, error: str, hold_s: float | None = None) -> None:
        """Leave the upstream alone from now on, for as long as it asked or a time that doubles."""
        self.last_error, self._probing = error, False
        self._failing_since = self._failing_since or self._now()
        if hold_s is not None:
            self._until = self._now() + min(HOLD_MAX, timedelta(seconds=hold_s))
            return
        self._until = self._now() + self._open_for
        self._open_for = min(OPEN_MAX, 2 * self._open_for)
