"""Pages for people: packages, docs search, set-up, help, and the forms of one-time links."""

from __future__ import annotations

from collections.abc import Iterator

from hexhub.http.routes import Route
from hexhub.sites.web import (
    assets,
    badges,
    catalogue,
    diff,
    feeds,
    first_run,
    front,
    package,
    pages,
    passwords,
    theme,
)

PAGES = (
    front,
    first_run,
    passwords,
    theme,
    assets,
    catalogue,
    package,
    diff,
    badges,
    feeds,
)


def routes() -> Iterator[Route]:
    """Every page. Those whose path means something else to a client answer only browsers."""
    for each in (catalogue, package):
        yield from each.contested.under("", when=pages.wants_page)
    for page in PAGES:
        yield from page.routes.under("")
