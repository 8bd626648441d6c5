"""Administration: what runs the place. For administrators alone; to others it is not there."""

from __future__ import annotations

from collections.abc import Iterator

from hexhub.http.metrics import Metrics
from hexhub.http.routes import Route
from hexhub.sites.web.admin import (
    accounts,
    backups,
    jobs,
    kept,
    keys,
    names,
    overview,
    quotas,
    records,
    repositories,
    rules,
    storage,
    upstream,
    usage,
)


def routes(metrics: Metrics) -> Iterator[Route]:
    """Every page of it; the overview shows these metrics."""
    used = usage.Usage()
    yield from overview.routes(metrics, used).under("/admin")
    for summed in (repositories, storage, backups):
        yield from summed.routes(used).under("/admin")
    for subject in (accounts, jobs, kept, keys, names, quotas, records, rules, upstream):
        yield from subject.routes.under("/admin")
