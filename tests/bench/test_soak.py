"""Two minutes of mixed load with publishes: nothing fails, and nothing grows."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import soak

GROWTH_MB = 20
GROWTH_DESCRIPTORS = 16


@pytest.mark.long
def test_memory_and_descriptors_stay_flat_under_load(tmp_path: Path) -> None:
    rows = soak.run(tmp_path / "data", 2.0, 1)
    assert len(rows) == soak.ROWS
    assert sum(row.errors for row in rows) == 0
    assert all(row.rate > 0 for row in rows)
    settled = rows[len(rows) // 5 :]
    assert max(row.memory for row in settled) < settled[0].memory + GROWTH_MB
    assert max(row.descriptors for row in settled) < settled[0].descriptors + GROWTH_DESCRIPTORS
