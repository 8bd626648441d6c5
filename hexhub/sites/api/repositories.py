"""Repositories: the public one, and one for each organization (http-api.md §3.3)."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from hexhub.domain import packages, permissions
from hexhub.http import responses
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import PUBLIC, Organization
from hexhub.sites.api import access, render
from hexhub.sites.api.pipeline import api, repository

routes = Routes(api)


@routes.get("/repos", allow=access.READER)
async def index(call: Call) -> StreamResponse:
    """The public repository, then the caller's by name."""
    with call.hub.store.view() as view:
        value = [
            render.repository(name, view.get(Organization, name), show=False)
            for name in packages.repositories(view, call.actor)
        ]
    cache = "public" if call.actor.anonymous else "private"
    return responses.resource(call, value, cache=cache, conditional=True)


@routes.get("/repos/{repository}", allow=access.READER)
async def show(call: Call) -> StreamResponse:
    """One repository."""
    name = repository(call)
    with call.hub.store.view() as view:
        permissions.require_access(view, call.actor, name)
        row = view.get(Organization, name)
    public = name == PUBLIC and call.actor.anonymous
    return responses.resource(
        call,
        render.repository(name, row, show=True),
        cache="public" if public else "private",
        conditional=True,
        modified=row.updated_at if row else None,
    )
