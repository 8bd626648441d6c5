"""The Hex API: a resource a file. Served under `/api`, and at the root where nothing clashes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from aiohttp.web import BaseRequest

from hexhub.http import negotiation
from hexhub.http.routes import Route
from hexhub.sites.api import (
    audit_logs,
    auth,
    docs,
    index,
    keys,
    oauth,
    openapi,
    organizations,
    owners,
    packages,
    policies,
    releases,
    repositories,
    retirement,
    short_urls,
    testing,
    upstream,
    users,
)

RESOURCES = (
    index,
    audit_logs,
    users,
    packages,
    releases,
    retirement,
    docs,
    owners,
    keys,
    auth,
    oauth,
    organizations,
    policies,
    short_urls,
    repositories,
    upstream,
)

ALSO_IN_THE_REGISTRY = ("/packages/{name}", "/repos/{repository}/packages/{name}")
"""Paths that mean a registry resource at the root, unless the client asks for the API's formats."""


def _wants_api(request: BaseRequest) -> bool:
    return negotiation.accepts(request, "application/vnd.hex+erlang", "application/vnd.hex+json")


def _wants_no_page(request: BaseRequest) -> bool:
    return not negotiation.accepts(request, "text/html")


def routes() -> Iterator[Route]:
    """Every route of the API (http-api.md §8 says what dispatches at the root)."""
    for resource in RESOURCES:
        yield from resource.routes.under("/api")
    yield from openapi.routes.under("/api")
    yield from testing.routes.under("/api")
    for resource in RESOURCES:
        if resource is index:
            continue
        for route in resource.routes.under("", when=_wants_no_page):
            clashes = route.method == "GET" and route.pattern in ALSO_IN_THE_REGISTRY
            yield replace(route, when=_wants_api) if clashes else route
