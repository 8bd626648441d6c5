"""Owners of packages (http-api.md §3.9)."""

from __future__ import annotations

from urllib.parse import unquote_plus

from aiohttp.web import StreamResponse

from cluster import View
from hexhub.domain import owners, packages, users
from hexhub.errors import NotFound
from hexhub.http import responses
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import Organization
from hexhub.sites.api import access, render
from hexhub.sites.api.pipeline import api, repository

routes = Routes(api)


@routes.get("/packages/{name}/owners", allow=access.READER)
@routes.get("/repos/{repository}/packages/{name}/owners", allow=access.READER)
async def index(call: Call) -> StreamResponse:
    """All owners with their levels, by name."""
    with call.hub.store.view() as view:
        package = packages.find(view, call.actor, repository(call), call.path["name"])
        value = [render.owner_full(call.hub, view, owner) for owner in owners.all_of(view, package)]
    return responses.resource(call, value)


@routes.get("/packages/{name}/owners/{who}", allow=access.READER)
@routes.get("/repos/{repository}/packages/{name}/owners/{who}", allow=access.READER)
async def show(call: Call) -> StreamResponse:
    """One owner."""
    with call.hub.store.view() as view:
        who = _who(view, call.path["who"])
        owner = owners.find(view, call.actor, repository(call), call.path["name"], who)
        value = render.owner_full(call.hub, view, owner)
    return responses.resource(call, value)


@routes.put("/packages/{name}/owners/{who}", allow=access.FULL_OWNER)
@routes.put("/repos/{repository}/packages/{name}/owners/{who}", allow=access.FULL_OWNER)
async def put(call: Call) -> StreamResponse:
    """Add an owner or change a level."""
    with call.hub.store.view() as view:
        who = _who(view, call.path["who"])
    await call.hub.store.revoke(
        owners.put,
        call.origin,
        repository(call),
        call.path["name"],
        who,
        call.parameter("level"),
        transfer=call.body.get("transfer") is True,
        now=call.now,
    )
    return responses.empty()


@routes.delete("/packages/{name}/owners/{who}", allow=access.FULL_OWNER)
@routes.delete("/repos/{repository}/packages/{name}/owners/{who}", allow=access.FULL_OWNER)
async def delete(call: Call) -> StreamResponse:
    """Take an owner away."""
    with call.hub.store.view() as view:
        who = _who(view, call.path["who"])
    await call.hub.store.revoke(
        owners.remove, call.origin, repository(call), call.path["name"], who, call.now
    )
    return responses.empty()


def _who(view: View, once_decoded: str) -> str:
    """The name as it arrived, else decoded a second time: clients escape addresses twice."""
    if view.get(Organization, once_decoded):
        return once_decoded
    twice = unquote_plus(once_decoded)
    for name in (once_decoded, twice):
        try:
            found = users.find_by_address(view, name) if "@" in name else users.find(view, name)
        except NotFound:
            continue
        if found is not None:
            return name
    return twice if "\0" not in twice else once_decoded
