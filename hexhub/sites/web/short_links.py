"""Follow short addresses (http-api.md §3.12)."""

from __future__ import annotations

from aiohttp.web import Response, StreamResponse

from hexhub.domain import short_urls
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.web import pages

routes = Routes(pages.web)


@routes.get("/l/{code}", allow=pages.ANYONE)
async def follow(call: Call) -> StreamResponse:
    """Where a code leads: only ever to hosts that were checked when it was made."""
    with call.hub.store.view() as view:
        row = short_urls.find(view, call.path["code"])
    return Response(
        status=301,
        headers={
            "Location": row.url,
            "Cache-Control": "public, max-age=86400",
            "Referrer-Policy": "no-referrer",
        },
    )
