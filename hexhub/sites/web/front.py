"""The front page: how to reach this hub with a client."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.hub import client_lines
from hexhub.sites.web import pages

routes = Routes(pages.web)


@routes.get("/", allow=pages.ANYONE)
async def front(call: Call) -> StreamResponse:
    """The lines that set a client up for this hub."""
    hub = call.hub
    return pages.page(
        "front.html", url=hub.url, fingerprint=hub.fingerprint, lines=client_lines(hub)
    )
