"""Durations count each time once, in the first bound that it does not pass."""

from __future__ import annotations

from cluster.files import Durations


def test_each_time_is_counted_in_the_first_bound_that_holds_it() -> None:
    durations = Durations()
    for seconds in (0.0, 0.0005, 0.0006, 2.5, 2.6, 100.0):
        durations.add(seconds)
    assert durations.counts[:2] == [2, 1]
    assert durations.counts[-2:] == [1, 2]
    assert sum(durations.counts) == 6
    assert durations.seconds == sum((0.0, 0.0005, 0.0006, 2.5, 2.6, 100.0))
