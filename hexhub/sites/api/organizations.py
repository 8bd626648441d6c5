"""Organizations and their members (http-api.md §3.4, §3.5)."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from cluster import Transaction, View
from hexhub.domain import organizations, permissions
from hexhub.domain.audit import Origin
from hexhub.http import responses
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import Organization
from hexhub.sites.api import access, render
from hexhub.sites.api.pipeline import api

routes = Routes(api)


def _find(view: View, call: Call, role: str = "read") -> Organization:
    """The organization of the path. Raises NotFound, whether it is unknown or not the caller's."""
    name = call.path["organization"]
    permissions.require_access(view, call.actor, name, role)
    return organizations.find(view, name)


@routes.get("/orgs", allow=access.READER)
async def index(call: Call) -> StreamResponse:
    """The caller's organizations by name."""
    actor = call.actor
    with call.hub.store.view() as view:
        if actor.organization is not None:
            found = [organizations.find(view, actor.organization)]
        else:
            found = organizations.of_user(view, actor.name) if actor.name else []
        value = [render.organization(row) for row in found]
    return responses.resource(call, value)


@routes.get("/orgs/{organization}", allow=access.READER)
async def show(call: Call) -> StreamResponse:
    """One organization."""
    with call.hub.store.view() as view:
        row = _find(view, call)
    return responses.resource(call, render.organization(row) | {"seats": row.seats})


@routes.post("/orgs/{organization}", allow=access.ORGANIZATION_ADMIN)
async def update(call: Call) -> StreamResponse:
    """Set the number of seats."""
    name = call.path["organization"]

    def change(tx: Transaction, origin: Origin) -> Organization:
        permissions.require_access(tx, origin.actor, name, "admin")
        return organizations.set_seats(tx, origin, name, call.parameter("seats"), call.now)

    row = await call.hub.store.transact(change, call.origin)
    return responses.resource(call, render.organization(row) | {"seats": row.seats})


@routes.get("/orgs/{organization}/members", allow=access.READER)
async def members(call: Call) -> StreamResponse:
    """Members by name."""
    with call.hub.store.view() as view:
        row = _find(view, call)
        value = [
            render.member(call.hub, view, member) for member in organizations.rows(view, row.name)
        ]
    return responses.resource(call, value)


@routes.get("/orgs/{organization}/members/{who}", allow=access.READER)
async def member(call: Call) -> StreamResponse:
    """One member."""
    with call.hub.store.view() as view:
        row = _find(view, call)
        return _member(call, view, row.name, call.path["who"])


def _member(call: Call, view: View, name: str, who: str) -> StreamResponse:
    user, role = organizations.find_member(view, name, who)
    location = None
    if call.route.method == "POST" and "who" not in call.path:
        location = f"/api/orgs/{name}/members/{user.username}"
    value = render.user_full(call.hub, user) | {"role": role}
    return responses.resource(call, value, location=location)


@routes.post("/orgs/{organization}/members", allow=access.ORGANIZATION_ADMIN)
async def add(call: Call) -> StreamResponse:
    """Take a user in."""
    name = call.path["organization"]
    who, role = call.body.get("name", call.query.get("name")), call.parameter("role")

    def change(tx: Transaction, origin: Origin) -> str:
        permissions.require_access(tx, origin.actor, name, "admin")
        return organizations.add_member(tx, origin, name, who, role, call.now).username

    username = await call.hub.store.transact(change, call.origin)
    with call.hub.store.view() as view:
        return _member(call, view, name, username)


@routes.post("/orgs/{organization}/members/{who}", allow=access.ORGANIZATION_ADMIN)
async def set_role(call: Call) -> StreamResponse:
    """Change a member's role."""
    name, who = call.path["organization"], call.path["who"]

    def change(tx: Transaction, origin: Origin) -> str:
        permissions.require_access(tx, origin.actor, name, "admin")
        role = call.parameter("role")
        return organizations.set_role(tx, origin, name, who, role, call.now).username

    username = await call.hub.store.revoke(change, call.origin)
    with call.hub.store.view() as view:
        return _member(call, view, name, username)


@routes.delete("/orgs/{organization}/members/{who}", allow=access.ORGANIZATION_ADMIN)
async def remove(call: Call) -> StreamResponse:
    """Let a member go."""
    name, who = call.path["organization"], call.path["who"]

    def change(tx: Transaction, origin: Origin) -> None:
        permissions.require_access(tx, origin.actor, name, "admin")
        organizations.remove_member(tx, origin, name, who, call.now)

    await call.hub.store.revoke(change, call.origin)
    return responses.empty()
