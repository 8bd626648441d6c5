"""How often releases are fetched: counted per day, shown by windows (http-api.md §4.7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta

from cluster import Transaction, View
from hexhub.schema import Downloads, Release

Counts = Mapping[tuple[str, str, str, str], int]
"""(repository, package, version, day) to a number of fetches."""

WINDOWS = {"day": 1, "week": 7, "recent": 90}
"""Full days before today that a window covers; `all` covers everything before today."""


def add(tx: Transaction, counts: Counts) -> None:
    """Add what was counted since the last time; releases that are gone are dropped."""
    for (repository, package, version, day), count in counts.items():
        if tx.get(Release, repository, package, version) is None:
            continue
        row = tx.get(Downloads, repository, package, version, day)
        tx.put(
            Downloads(
                repository=repository,
                package=package,
                version=version,
                day=day,
                count=count + (row.count if row else 0),
            )
        )


def windows(rows: Iterable[Downloads], today: date) -> dict[str, int]:
    """Sums by window; a window without downloads is absent, and today never counts."""
    sums: dict[str, int] = {}
    for row in rows:
        age = (today - date.fromisoformat(row.day)).days
        if age < 1:
            continue
        for name, days in WINDOWS.items():
            if age <= days:
                sums[name] = sums.get(name, 0) + row.count
        sums["all"] = sums.get("all", 0) + row.count
    return sums


def of_package(view: View, repository: str, name: str, today: date) -> dict[str, int]:
    """The windows of all releases of a package."""
    return windows(view.scan(Downloads, repository, name), today)


def of_release(view: View, release: Release, today: date) -> int:
    """All downloads of a release before today."""
    rows = view.scan(Downloads, release.repository, release.package, release.version)
    return windows(rows, today).get("all", 0)


def series(
    view: View, release: Release, *, by: str, after: date | None, before: date | None, today: date
) -> list[tuple[str, int]]:
    """Downloads of a release by `day` or `month`, oldest first; bounds are inclusive."""
    length = 10 if by == "day" else 7
    sums: dict[str, int] = {}
    last = min(before, today - timedelta(days=1)) if before else today - timedelta(days=1)
    for row in view.scan(Downloads, release.repository, release.package, release.version):
        day = date.fromisoformat(row.day)
        if (after is None or day >= after) and day <= last:
            sums[row.day[:length]] = sums.get(row.day[:length], 0) + row.count
    return sorted(sums.items())
