"""Packages (http-api.md §3.6)."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from hexhub.domain import downloads, packages, permissions
from hexhub.errors import NotFound
from hexhub.http import responses
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import PUBLIC
from hexhub.sites.api import access, paging, render, upstream
from hexhub.sites.api.pipeline import api, repository

routes = Routes(api)


def cache(call: Call, in_repository: str) -> str:
    """Whether shared caches may keep an answer: never what needed a credential."""
    return "public" if call.actor.anonymous and in_repository == PUBLIC else "private"


@routes.get("/packages", allow=access.READER)
@routes.get("/repos/{repository}/packages", allow=access.READER)
async def index(call: Call) -> StreamResponse:
    """Packages that match `search`, sorted and paged."""
    hub = call.hub
    today = call.now.date()
    with hub.store.view() as view:
        repositories = packages.repositories(view, call.actor)
        if "repository" in call.path:
            repositories = [repository(call)]
            if not permissions.may_see(view, call.actor, repositories[0]):
                raise NotFound
        found = packages.search(view, repositories, str(call.parameter("search") or ""))
        sort = call.parameter("sort")
        if sort in ("inserted_at", "updated_at"):
            field = "created_at" if sort == "inserted_at" else sort
            found.sort(key=lambda package: getattr(package, str(field)), reverse=True)
        elif sort in ("downloads", "total_downloads", "recent_downloads"):
            window = "recent" if sort == "recent_downloads" else "all"
            counts = {
                (p.repository, p.name): downloads.of_package(view, p.repository, p.name, today)
                for p in found
            }
            found.sort(key=lambda p: counts[p.repository, p.name].get(window, 0), reverse=True)
        page, per_page = paging.page(call), paging.per_page(call)
        start = (page - 1) * per_page
        value = [
            render.package_index(hub, view, package, today)
            for package in found[start : start + per_page]
        ]
    if "repository" not in call.path:
        value += await upstream.found_after(call, len(found), page, per_page)
    return responses.resource(call, value, cache=cache(call, repositories[0]), conditional=True)


@routes.get("/packages/{name}", allow=access.READER)
@routes.get("/repos/{repository}/packages/{name}", allow=access.READER)
@upstream.otherwise(upstream.package)
async def show(call: Call) -> StreamResponse:
    """One package."""
    hub, today = call.hub, call.now.date()
    with hub.store.view() as view:
        package = packages.find(view, call.actor, repository(call), call.path["name"])

        def encoded() -> responses.Encoded:
            value = render.package_show(hub, view, package, today)
            return responses.encode(value, call.format, package.updated_at)

        topic = (package.repository, package.name)
        shown = hub.package_objects.get(topic, f"{call.format} {today}", encoded)
    return responses.encoded(call, shown, cache=cache(call, package.repository))
