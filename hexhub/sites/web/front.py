"""The home page: what was published lately; on an empty hub, the lines that fill it."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from hexhub.domain import users
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.hub import client_lines
from hexhub.schema import PUBLIC
from hexhub.search import Query
from hexhub.sites.web import pages, reading

routes = Routes(pages.web)

RECENT = 15
BESIDE = 8


@routes.get("/", allow=pages.READER)
async def front(call: Call) -> StreamResponse:
    """Recent publishes, new and popular packages, and how to set a client up."""
    hub, today = call.hub, call.now.date()
    with hub.store.view() as view:
        repositories = reading.repositories(view, call)
        needs_administrator = not users.administrators(view)
    recent = await hub.catalogue.recent(repositories, RECENT, today)
    popular = await hub.catalogue.find(repositories, Query(), "recent_downloads", today)
    newest = await hub.catalogue.find(repositories, Query(), "inserted_at", today)
    packages, releases, downloads = hub.catalogue.totals(repositories)
    return pages.page(
        "front.html",
        url=hub.url,
        fingerprint=hub.fingerprint,
        lines=client_lines(hub),
        recent=[(each, hub.catalogue.get(each.repository, each.package)) for each in recent],
        popular=[each for each in popular[:BESIDE] if each.recent_downloads],
        newest=newest[:BESIDE],
        totals=(packages, releases, downloads),
        needs_administrator=needs_administrator,
        public=PUBLIC,
    )
