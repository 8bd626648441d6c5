"""Pages for people: packages, docs search, set-up, help, and the forms of one-time links."""

from __future__ import annotations

from collections.abc import Iterator

from hexhub.http.routes import Route
from hexhub.sites.web import assets, first_run, front, passwords, theme

PAGES = (front, first_run, passwords, theme, assets)


def routes() -> Iterator[Route]:
    """Every page."""
    for page in PAGES:
        yield from page.routes.under("")
