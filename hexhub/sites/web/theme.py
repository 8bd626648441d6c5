"""Light, dark, or what the system says: kept in a cookie, so that it works without script."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.web import pages, visitors

routes = Routes(pages.web)

A_YEAR_S = 365 * 86_400


@routes.post("/theme", allow=pages.ANYONE)
async def choose(call: Call) -> StreamResponse:
    """Keep the choice and go back to the page it was made on."""
    response = pages.redirect(visitors.local_path(call.body.get("back"), "/"))
    chosen = str(call.body.get("theme") or "")
    if chosen in pages.THEMES:
        response.set_cookie("theme", chosen, max_age=A_YEAR_S, path="/", samesite="Lax")
    return response
