"""Docs archives of releases (http-api.md §3.9, docs.md §2)."""

from __future__ import annotations

from functools import partial

from aiohttp.web import Response, StreamResponse

from hexhub.domain import docs, permissions, releases
from hexhub.errors import NotFound
from hexhub.formats import docs_archive
from hexhub.formats.rate_limits import PUBLISH
from hexhub.http import bodies, responses
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.api import access, render
from hexhub.sites.api.pipeline import api, repository
from hexhub.sites.api.releases import in_unpacking

routes = Routes(api)

PATH = "/packages/{name}/releases/{version}/docs"


@routes.get(PATH, allow=access.READER)
@routes.get("/repos/{repository}" + PATH, allow=access.READER)
async def show(call: Call) -> StreamResponse:
    """Where the archive is."""
    path = call.path
    with call.hub.store.view() as view:
        release = releases.find(view, call.actor, repository(call), path["name"], path["version"])
    if not release.has_docs:
        raise NotFound
    return Response(
        status=302,
        text="",
        content_type="text/html",
        headers={"Location": render.docs_archive_url(call.hub, release)},
    )


@routes.post(PATH, allow=access.MAINTAINER, group=PUBLISH)
@routes.post("/repos/{repository}" + PATH, allow=access.MAINTAINER, group=PUBLISH)
async def publish(call: Call) -> StreamResponse:
    """Keep an archive byte for byte, once it is known to be one that can be served."""
    hub, path = call.hub, call.path
    with hub.store.view() as view:
        permissions.require_owner(view, call.actor, repository(call), path["name"], "maintainer")
        releases.find(view, call.actor, repository(call), path["name"], path["version"])
    async with bodies.upload(call) as spooled:
        await in_unpacking(call, spooled, docs_archive.check)
        release = await hub.store.transact_behind(
            partial(hub.storage.put, spooled),
            docs.publish,
            call.origin,
            repository(call),
            path["name"],
            path["version"],
            spooled.checksum,
            call.now,
        )
    response = responses.empty(201, headers={"Location": render.docs_archive_url(hub, release)})
    response.headers["Cache-Control"] = "public, max-age=60"
    return response


@routes.delete(PATH, allow=access.MAINTAINER)
@routes.delete("/repos/{repository}" + PATH, allow=access.MAINTAINER)
async def delete(call: Call) -> StreamResponse:
    """Take the docs away."""
    await call.hub.store.transact(
        docs.delete,
        call.origin,
        repository(call),
        call.path["name"],
        call.path["version"],
        call.now,
    )
    return responses.empty()
