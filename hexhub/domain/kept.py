"""Rows of kept copies: written in batches, counted, chosen for eviction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import takewhile

from cluster import Transaction, View
from hexhub.formats import resource_path
from hexhub.formats.version import Version
from hexhub.schema import Kept, KeptUse

DOCS = "docs/"
EVICTABLE = ("tarballs/", "docs/")
"""The registry is small and never evicted for room (mirror.md §2.11)."""


def documented(view: View) -> set[str]:
    """The packages whose documentation is kept."""
    rows = takewhile(lambda row: row.path.startswith(DOCS), view.scan(Kept, after=(DOCS,)))
    return {name for row in rows if (name := docs_name(row.path))}


def docs_name(path: str) -> str | None:
    """The package whose documentation a path is; None for another path."""
    if not path.startswith(DOCS):
        return None
    found = resource_path.parse(path)
    return found.name if found else None


def newest_docs(view: View, name: str) -> tuple[str, Kept] | None:
    """The newest version of a package whose documentation is kept, stable ones first (docs.md §4)."""
    found = []
    for row in view.scan(Kept, after=(f"{DOCS}{name}-",)):
        if not row.path.startswith(f"{DOCS}{name}-"):
            break
        resource = resource_path.parse(row.path)
        if resource is not None:
            found.append((Version.parse(resource.version), resource.version, row))
    if not found:
        return None
    _, version, row = max(found, key=lambda each: (not each[0].pre, each[0].sort_key))
    return version, row


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
