"""What happens per request, summed: requests by kind, how long they took, what was fetched."""

from __future__ import annotations

from bisect import bisect_left

import msgspec

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper bounds of the buckets of durations, in seconds; the last bucket has none."""
TIMES = len(BOUNDS) + 2


class Sums(msgspec.Struct):
    """`requests` by route, method and status: how many took how long, a count for each bucket, and
    last the seconds of all; `hits` by what was fetched."""

    requests: dict[tuple[str, str, int], list[float]] = {}
    hits: dict[tuple[str, ...], int] = {}


class Tallies:
    """Sums of one process."""

    def __init__(self) -> None:
        self.sums = Sums({}, {})

    def add(self, route: str, method: str, status: int, seconds: float) -> None:
        """One more request of this kind."""
        kind = (route, method, status)
        times = self.sums.requests.get(kind)
        if times is None:
            times = self.sums.requests[kind] = [0.0] * TIMES
        times[0 if seconds <= BOUNDS[0] else bisect_left(BOUNDS, seconds)] += 1
        times[-1] += seconds

    def hit(self, what: tuple[str, ...]) -> None:
        """One more fetch of something that is counted."""
        hits = self.sums.hits
        hits[what] = hits.get(what, 0) + 1

    def take_hits(self) -> dict[tuple[str, ...], int]:
        """What was fetched since the last time."""
        hits, self.sums.hits = self.sums.hits, {}
        return hits

    def take(self) -> Sums | None:
        """What was summed since the last time; None for nothing."""
        sums = self.sums
        if not sums.requests and not sums.hits:
            return None
        self.sums = Sums({}, {})
        return sums

    def merge(self, other: Sums) -> None:
        """Add what another process summed; `hits` are for the caller."""
        for kind, more in other.requests.items():
            times = self.sums.requests.setdefault(kind, [0.0] * TIMES)
            for at, value in enumerate(more):
                times[at] += value
