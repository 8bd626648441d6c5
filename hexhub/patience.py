"""How long clients are told to wait for something to pass, so that none waits for ever.

Erlang's HTTP client, in mix and rebar3, obeys a Retry-After below 100 s of a 503 by itself, and once
more for each further one; above, it fails at once, and what was said is printed. A short trouble,
such as an election, is best waited out like that. One that lasts has to end: never a hang
(design §4.4).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

WAITED_OUT: Final = timedelta(seconds=20)
"""How long a trouble may last before clients are told to give up."""
OVER_AFTER: Final = timedelta(seconds=30)
"""A trouble that nobody met for so long is over."""
NOT_BY_ITSELF_S: Final = 120


class Patience:
    """Since when each kind of trouble lasts, as far as those know who met it."""

    def __init__(self) -> None:
        self._met: dict[str, tuple[datetime, datetime]] = {}

    def seconds(self, kind: str, short: int, now: datetime) -> int:
        """What to tell whoever meets this trouble now, where `short` would do if it passes soon."""
        since, last = self._met.get(kind, (now, now))
        if now - last > OVER_AFTER:
            since = now
        self._met[kind] = since, now
        return NOT_BY_ITSELF_S if now - since > WAITED_OUT else short
