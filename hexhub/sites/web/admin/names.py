"""Names that are here and at the upstream, and names that are never asked for there."""

from __future__ import annotations

from aiohttp.web import Response, StreamResponse

from hexhub.domain import upstream_names
from hexhub.errors import Invalid
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import AllowedName, Kept, ReservedName
from hexhub.sites.web import pages
from hexhub.sites.web.account import text
from hexhub.sites.web.admin import gate

routes = Routes(gate.administration)


@routes.get("/names", allow=gate.LOOKS)
async def names(call: Call) -> StreamResponse:
    """Names that are here and at the upstream, and those that are never asked for there."""
    return _names(call)


def _names(call: Call, *, status: int = 200, wrong: str = "") -> Response:
    with call.hub.store.view() as view:
        clashes = upstream_names.clashes(view)
        return gate.page(
            "names.html",
            status=status,
            clashes=clashes,
            kept={each.name for each in clashes if view.get(Kept, f"packages/{each.name}")},
            allowed=list(view.scan(AllowedName)),
            reserved=list(view.scan(ReservedName)),
            wrong=wrong,
        )


@routes.post("/names/allow", allow=gate.CHANGES)
async def allow(call: Call) -> StreamResponse:
    """Allow a name in a repository, and say which side wins."""
    try:
        await call.hub.store.transact(
            upstream_names.allow,
            call.origin,
            text(call, "repository"),
            text(call, "name"),
            text(call, "wins"),
            call.now,
        )
    except Invalid as error:
        return _names(call, status=422, wrong=gate.words(error.errors))
    return pages.redirect("/admin/names")


@routes.post("/names/disallow", allow=gate.CHANGES)
async def disallow(call: Call) -> StreamResponse:
    """Take that word back."""
    await call.hub.store.transact(
        upstream_names.disallow,
        call.origin,
        text(call, "repository"),
        text(call, "name"),
        call.now,
    )
    return pages.redirect("/admin/names")


@routes.post("/names/reserve", allow=gate.CHANGES)
async def reserve(call: Call) -> StreamResponse:
    """Reserve names by a pattern."""
    try:
        await call.hub.store.transact(
            upstream_names.reserve, call.origin, text(call, "pattern"), call.now
        )
    except Invalid as error:
        return _names(call, status=422, wrong=gate.words(error.errors))
    return pages.redirect("/admin/names")


@routes.post("/names/release", allow=gate.CHANGES)
async def release(call: Call) -> StreamResponse:
    """Take a reservation back."""
    await call.hub.store.transact(
        upstream_names.release, call.origin, text(call, "pattern"), call.now
    )
    return pages.redirect("/admin/names")
