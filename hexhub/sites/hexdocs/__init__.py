"""HexDocs: the documentation of packages, as their authors uploaded it.

It is HTML and script of strangers and never shares an origin with a session (design §7). On a host
of its own (`DOCS_HOST`) it is served as it is; on the hub's own host it runs in a sandbox without
an origin, where no cookie reaches and nothing can be read.
"""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp.web import BaseRequest

from hexhub.formats import resource_path
from hexhub.http.routes import Route, Router, segments
from hexhub.sites.hexdocs import pages
from hexhub.sites.hexdocs.readers import Recognise

__all__ = ["Recognise", "host_router", "routes"]


def _is_no_archive(request: BaseRequest) -> bool:
    """Whether `/docs/X` is a name and not a repository's archive `N-V.tar.gz` (http-api.md §8)."""
    return resource_path.parse("/".join(segments(request.raw_path)[-2:])) is None


def routes(recognise: Recognise) -> Iterator[Route]:
    """Documentation beside everything else, under `/docs` and `/repos/R/docs`."""
    made = pages.routes(recognise)
    yield from made.under("/docs", when=_is_no_archive)
    yield from made.under("/repos/{repository}/docs", when=_is_no_archive)


def host_router(recognise: Recognise) -> Router:
    """Documentation on a host of its own."""
    made = pages.routes(recognise)
    return Router(
        [
            *pages.top_routes(recognise).under(""),
            *made.under("/repos/{repository}"),
            *made.under(""),
        ]
    )
