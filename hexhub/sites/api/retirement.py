"""Retirement of releases (http-api.md §3.8)."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from hexhub.domain import packages, permissions, releases
from hexhub.http import responses
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.api import access
from hexhub.sites.api.pipeline import api, repository

routes = Routes(api)


@routes.post("/packages/{name}/releases/{version}/retire", allow=access.MAINTAINER)
@routes.post(
    "/repos/{repository}/packages/{name}/releases/{version}/retire", allow=access.MAINTAINER
)
async def retire(call: Call) -> StreamResponse:
    """Mark a release as one that should no longer be used."""
    name, version = call.path["name"], call.path["version"]
    # Who may not retire learns nothing about what would have been wrong with the reason.
    with call.hub.store.view() as view:
        permissions.require_owner(view, call.actor, repository(call), name, "maintainer")
        releases.find(view, call.actor, repository(call), name, version)
    await call.hub.store.transact(
        releases.retire,
        call.origin,
        repository(call),
        name,
        version,
        releases.retirement(call.parameter("reason"), call.parameter("message")),
        call.now,
    )
    return responses.empty()


@routes.post("/packages/{name}/retire", allow=access.MAINTAINER)
@routes.post("/repos/{repository}/packages/{name}/retire", allow=access.MAINTAINER)
async def retire_all(call: Call) -> StreamResponse:
    """Mark every release of a package; with `replace` those too that are marked already."""
    name = call.path["name"]
    with call.hub.store.view() as view:
        permissions.require_owner(view, call.actor, repository(call), name, "maintainer")
        packages.find(view, call.actor, repository(call), name)
    await call.hub.store.transact(
        releases.retire_all,
        call.origin,
        repository(call),
        name,
        releases.retirement(call.parameter("reason"), call.parameter("message")),
        replace=call.parameter("replace") in (True, "true"),
        now=call.now,
    )
    return responses.empty()


@routes.delete("/packages/{name}/releases/{version}/retire", allow=access.MAINTAINER)
@routes.delete(
    "/repos/{repository}/packages/{name}/releases/{version}/retire", allow=access.MAINTAINER
)
async def unretire(call: Call) -> StreamResponse:
    """Take the mark off."""
    await call.hub.store.transact(
        releases.unretire,
        call.origin,
        repository(call),
        call.path["name"],
        call.path["version"],
        call.now,
    )
    return responses.empty()
