"""Whatever goes wrong, in whatever order: nothing acknowledged is lost, and all end alike.

A failure prints its seed: `python -m tests.cluster.simulator.world SEED SEED+1` runs it again.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.cluster.simulator.world import Broken, run

SEEDS = 300
LONG_SEEDS = 4000
CHUNK = 30


def run_all(first: int, last: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    for seed in range(first, last):
        world = run(seed)
        counts.update(world.counts)
        counts["acknowledged"] += len(world.acknowledged)
    return counts


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_schedule_breaks_a_promise(first: int) -> None:
    counts = run_all(first, first + CHUNK)
    happened = {"acknowledged", "crash", "partition", "snapshot", "read", "settled", "add", "rem"}
    assert happened <= {name for name, count in counts.items() if count}


@pytest.mark.long
@pytest.mark.parametrize("first", range(SEEDS, LONG_SEEDS, CHUNK))
def test_no_schedule_of_many_breaks_a_promise(first: int) -> None:
    run_all(first, first + CHUNK)


def test_without_the_guard_the_simulator_finds_the_faults_of_pysyncobj() -> None:
    """Otherwise it proves nothing about the guard."""

    def run_many() -> None:
        for seed in range(400):
            run(seed, guarded=False)

    with pytest.raises(Broken, match="seed"):
        run_many()


def test_a_seed_always_runs_alike() -> None:
    assert run(7).counts == run(7).counts
