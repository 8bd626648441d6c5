"""What happens per request, summed: requests by kind, how long they took, what was fetched."""

from __future__ import annotations

from bisect import bisect_left

import msgspec

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper bounds of the buckets of durations, in seconds; the last bucket has none."""


class Sums(msgspec.Struct):
    """`requests` by route, method and status; `durations` by route, a count for each bucket;
    `seconds` by route; `hits` by what was fetched."""

    requests: dict[tuple[str, str, int], int] = {}
    durations: dict[str, list[int]] = {}
    seconds: dict[str, float] = {}
    hits: dict[tuple[str, ...], int] = {}


class Tallies:
    """Sums of one process."""

    def __init__(self) -> None:
        self.sums = Sums({}, {}, {}, {})

    def add(self, route: str, method: str, status: int, seconds: float) -> None:
        """One more request of this kind."""
        sums = self.sums
        kind = (route, method, status)
        sums.requests[kind] = sums.requests.get(kind, 0) + 1
        buckets = sums.durations.get(route)
        if buckets is None:
            buckets = sums.durations[route] = [0] * (len(BOUNDS) + 1)
            sums.seconds[route] = 0.0
        buckets[bisect_left(BOUNDS, seconds)] += 1
        sums.seconds[route] += seconds

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
        self.sums = Sums({}, {}, {}, {})
        return sums

    def merge(self, other: Sums) -> None:
        """Add what another process summed; `hits` are for the caller."""
        sums = self.sums
        for kind, count in other.requests.items():
            sums.requests[kind] = sums.requests.get(kind, 0) + count
        for route, counts in other.durations.items():
            buckets = sums.durations.setdefault(route, [0] * (len(BOUNDS) + 1))
            for at, count in enumerate(counts):
                buckets[at] += count
            sums.seconds[route] = sums.seconds.get(route, 0.0) + other.seconds[route]
