"""Guides: one page a task, with this hub's own address in every line."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from hexhub.errors import NotFound
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.web import pages, reference, setup, setup_lines

routes = Routes(pages.web)

GUIDES = {
    "start": ("Getting started", "From nothing to a package that a project uses."),
    "publishing": (
        "Publishing",
        "From your machine, GitHub Actions or GitLab CI; retire and revert.",
    ),
    "private": ("Private packages", "Organizations, their members, and keys that read."),
    "mirror": ("The mirror", "Fetch hex.pm’s packages through this hub, with it there or not."),
    "docs": ("Documentation", "Publish, read and search docs; private ones too."),
    "api": ("API", "What there is to call, and with which key."),
}


@routes.get("/help", allow=pages.ANYONE)
async def index(call: Call) -> StreamResponse:
    """Every guide."""
    return pages.page("help.html", guides=GUIDES)


@routes.get("/help/{guide}", allow=pages.ANYONE)
async def show(call: Call) -> StreamResponse:
    """One guide."""
    guide = call.path["guide"]
    if guide not in GUIDES:
        raise NotFound
    hub = call.hub
    return pages.page(
        f"help_{guide}.html",
        guides=GUIDES,
        guide=guide,
        title=GUIDES[guide][0],
        url=hub.url,
        fingerprint=hub.fingerprint,
        shelf=setup_lines.shelf(hub.url, "KEY" if setup.is_closed(hub) else ""),
        sections=await reference.sections() if guide == "api" else [],
    )
