"""Packages (http-api.md §3.6)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta

from aiohttp.web import StreamResponse

from cluster import View
from hexhub.domain import packages, permissions
from hexhub.errors import NotFound
from hexhub.http import negotiation, responses
from hexhub.http.call import Call
from hexhub.http.learning import Ticket
from hexhub.http.routes import Routes
from hexhub.schema import PUBLIC, Package
from hexhub.search.query import Query
from hexhub.sites.api import access, paging, render, upstream
from hexhub.sites.api.pipeline import api, repository

routes = Routes(api)

SORTS = {
    "name": "name",
    "downloads": "total_downloads",
    "total_downloads": "total_downloads",
    "recent_downloads": "recent_downloads",
    "inserted_at": "inserted_at",
    "updated_at": "updated_at",
}
"""Orders by the names that clients give them."""


def cache(call: Call, in_repository: str) -> str:
    """Whether shared caches may keep an answer: never what needed a credential."""
    return "public" if call.actor.anonymous and in_repository == PUBLIC else "private"


@routes.get("/packages", allow=access.READER)
@routes.get("/repos/{repository}/packages", allow=access.READER)
async def index(call: Call) -> StreamResponse:
    """Packages that match `search`, sorted and paged."""
    hub, today = call.hub, call.now.date()
    with hub.store.view() as view:
        repositories = packages.repositories(view, call.actor)
        if "repository" in call.path:
            repositories = [repository(call)]
            if not permissions.may_see(view, call.actor, repositories[0]):
                raise NotFound
    text, sort = call.parameter("search"), call.parameter("sort")
    wanted = Query.parse(text if isinstance(text, str) else "")
    found = await hub.catalogue.find(repositories, wanted, SORTS.get(str(sort), "name"), today)
    page, per_page = paging.page(call), paging.per_page(call)
    if repositories == [PUBLIC] and (hub.mirror is None or not text):
        _expect_again(call, "")
    start = (page - 1) * per_page
    with hub.store.view() as view:
        parts = [
            hub.package_objects.get(each.key, f"listed {call.format} {today}", encoded)
            for each in found[start : start + per_page]
            if (encoded := _listed(call, view, each.key)) is not None
        ]
    if "repository" not in call.path:
        others = await upstream.found_after(call, len(found), page, per_page)
        parts += [negotiation.encode(each, call.format) for each in others]
    shown = responses.encoded_list(parts, call.format)
    return responses.encoded(call, shown, cache=cache(call, repositories[0]))


def _listed(call: Call, view: View, key: tuple[str, str]) -> Callable[[], bytes] | None:
    """What encodes a package as lists show it; None for one that has just gone."""
    package = view.get(Package, *key)
    if package is None:
        return None

    def encoded() -> bytes:
        value = render.package_index(call.hub, view, package, call.now.date())
        return negotiation.encode(value, call.format)

    return encoded


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
        if package.repository == PUBLIC:
            _expect_again(call, package.name)
        shown = hub.package_objects.get(topic, f"{call.format} {today}", encoded)
    return responses.encoded(call, shown, cache=cache(call, package.repository))


def _expect_again(call: Call, package: str) -> None:
    """Let the answer be sent again without us, today, to nobody in particular."""
    if call.hot is not None and call.actor.anonymous:
        tomorrow = datetime.combine(call.now.date() + timedelta(days=1), time.min, UTC)
        call.ticket = Ticket(
            stamp=call.hub.topics.stamp((PUBLIC, package)),
            until=tomorrow.timestamp(),
            limited=True,
        )
