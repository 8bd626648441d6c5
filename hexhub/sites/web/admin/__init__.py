"""Administration: what runs the place. For administrators alone; to others it is not there."""

from __future__ import annotations

from collections.abc import Iterator

from hexhub.http.metrics import Metrics
from hexhub.http.routes import Route
from hexhub.sites.web.admin import accounts, mirror, overview, records


def routes(metrics: Metrics) -> Iterator[Route]:
    """Every page of it; the overview shows these metrics."""
    yield from overview.routes(metrics).under("/admin")
    for subject in (accounts, mirror, records):
        yield from subject.routes.under("/admin")
