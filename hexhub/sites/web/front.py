"""The home page: what was published lately; on an empty hub, the lines that fill it."""

from __future__ import annotations

import msgspec
from aiohttp.web import Response, StreamResponse

from hexhub.domain import users
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import PUBLIC
from hexhub.search import Published, Query
from hexhub.sites.web import pages, reading, setup, setup_lines

routes = Routes(pages.web)

RECENT = 15
LOOKED_AT = 60
"""Publishes that are looked at: those of one package stand together."""
BESIDE = 8


@routes.get("/", allow=pages.READER)
async def front(call: Call) -> StreamResponse:
    """Recent publishes, new and popular packages, and how to set a client up."""
    hub, today = call.hub, call.now.date()
    with hub.store.view() as view:
        repositories = reading.repositories(view, call)
        needs_administrator = not users.administrators(view)
    recent = _by_package(await hub.catalogue.recent(repositories, LOOKED_AT, today))
    popular = await hub.catalogue.find(repositories, Query(), "recent_downloads", today)
    newest = await hub.catalogue.find(repositories, Query(), "inserted_at", today)
    packages, releases, downloads = hub.catalogue.totals(repositories)
    return pages.page(
        "front.html",
        mark=_mark(recent),
        url=hub.url,
        fingerprint=hub.fingerprint,
        use=setup_lines.shelf(hub.url, "KEY" if setup.is_closed(hub) else ""),
        recent=[
            (first, others, hub.catalogue.get(first.repository, first.package))
            for first, *others in recent[:RECENT]
        ],
        popular=[each for each in popular[:BESIDE] if each.recent_downloads],
        newest=newest[:BESIDE],
        totals=(packages, releases, downloads),
        needs_administrator=needs_administrator,
        public=PUBLIC,
    )


@routes.get("/recent.json", allow=pages.READER)
async def newest(call: Call) -> StreamResponse:
    """What the home page asks for while it is looked at, to be drawn anew when it differs."""
    with call.hub.store.view() as view:
        repositories = reading.repositories(view, call)
    recent = await call.hub.catalogue.recent(repositories, 1, call.now.date())
    headers = {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(body=msgspec.json.encode({"newest": _mark([recent])}), headers=headers)


def _mark(recent: list[list[Published]]) -> str:
    """A word that changes with the newest publish."""
    if not recent or not recent[0]:
        return ""
    first = recent[0][0]
    return f"{first.at.isoformat()} {first.repository}/{first.package} {first.version}"


def _by_package(found: list[Published]) -> list[list[Published]]:
    """Publishes of one package in a row, where its newest one was."""
    rows: dict[tuple[str, str], list[Published]] = {}
    for each in found:
        rows.setdefault((each.repository, each.package), []).append(each)
    return list(rows.values())
