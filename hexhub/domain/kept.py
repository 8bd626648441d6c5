"""Rows of kept copies: written in batches, counted, chosen for eviction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from cluster import Transaction
from hexhub.schema import Kept, KeptUse

EVICTABLE = ("tarballs/", "docs/")
"""The registry is small and never evicted for room (mirror.md §2.11)."""


def write(tx: Transaction, rows: Mapping[str, Kept | None]) -> None:
    """Put rows by path, and delete those that are None."""
    for path, row in rows.items():
        old = tx.get(Kept, path)
        if row is not None:
            if old != row:
                tx.put(row)
            continue
        if old:
            tx.delete(old)
        if use := tx.get(KeptUse, path):
            tx.delete(use)


def record_uses(tx: Transaction, uses: Iterable[KeptUse]) -> None:
    """Note when copies were asked for; of a copy that went meanwhile nothing is noted."""
    for use in uses:
        if tx.get(Kept, use.path) is not None:
            tx.put(use)


def to_evict(copies: Iterable[tuple[Kept, datetime]], size_max: int) -> list[Kept]:
    """Of copies with the time of their last use: those to drop so that the rest fit, oldest first."""
    rows = [(used, row) for row, used in copies if row.path.startswith(EVICTABLE)]
    rows.sort(key=lambda each: (each[0], each[1].path))
    over = sum(row.size for _, row in rows) - size_max
    chosen = []
    for _, row in rows:
        if over <= 0:
            break
        chosen.append(row)
        over -= row.size
    return chosen
