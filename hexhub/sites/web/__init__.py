"""Pages for people: the front page with the set-up lines, and the forms of one-time links."""

from __future__ import annotations

from collections.abc import Iterator

from hexhub.http.routes import Route
from hexhub.sites.web import first_run, front, passwords


def routes() -> Iterator[Route]:
    """Every page."""
    for page in (front, first_run, passwords):
        yield from page.routes.under("")
