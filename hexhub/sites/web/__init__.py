"""Pages for people: packages, docs search, set-up, help, and the forms of one-time links."""

from __future__ import annotations

from collections.abc import Iterator

from hexhub.http.metrics import Metrics
from hexhub.http.routes import Route
from hexhub.sites.web import (
    addresses,
    admin,
    api_keys,
    assets,
    authorize,
    badges,
    catalogue,
    dashboard,
    device,
    diff,
    feeds,
    first_run,
    front,
    help,
    login,
    manage,
    organization,
    package,
    pages,
    passwords,
    people,
    security,
    setup,
    short_links,
    signup,
    theme,
)
from hexhub.sites.web.visitors import recognise

__all__ = ["recognise", "routes"]

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
    login,
    signup,
    dashboard,
    addresses,
    api_keys,
    security,
    device,
    authorize,
    setup,
    help,
    organization,
    short_links,
    manage,
)


def routes(metrics: Metrics) -> Iterator[Route]:
    """Every page. Those whose path means something else to a client answer only browsers."""
    for each in (catalogue, package, people, organization):
        yield from each.contested.under("", when=pages.wants_page)
    for page in PAGES:
        yield from page.routes.under("")
    yield from admin.routes(metrics)
    yield from passwords.reset_routes.under("")
    yield Route(
        "GET", "/{path*}", pages.ANYONE, pages.nowhere, pages.web, pages.wants_page_anywhere
    )
