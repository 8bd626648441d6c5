"""Dependency policies of organizations. Ours: hexpm edits them on pages only (registry.md §4)."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from cluster import Transaction, View
from hexhub.domain import organizations, permissions, policies
from hexhub.domain.audit import Origin
from hexhub.http import responses
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import Policy
from hexhub.sites.api import access, render
from hexhub.sites.api.pipeline import api

routes = Routes(api)


def _organization(view: View, call: Call, role: str = "read") -> str:
    """The organization of the path. Raises NotFound, whether it is unknown or not the caller's."""
    name = call.path["organization"]
    permissions.require_access(view, call.actor, name, role)
    return organizations.find(view, name).name


@routes.get("/orgs/{organization}/policies", allow=access.READER)
async def index(call: Call) -> StreamResponse:
    """The policies of an organization, by name."""
    with call.hub.store.view() as view:
        name = _organization(view, call)
        value = [render.policy(call.hub, row) for row in policies.all_of(view, name)]
    return responses.resource(call, value)


@routes.get("/orgs/{organization}/policies/{policy}", allow=access.READER)
async def show(call: Call) -> StreamResponse:
    """One policy."""
    with call.hub.store.view() as view:
        row = policies.find(view, _organization(view, call), call.path["policy"])
    return responses.resource(
        call, render.policy(call.hub, row), conditional=True, modified=row.updated_at
    )


@routes.put("/orgs/{organization}/policies/{policy}", allow=access.ORGANIZATION_ADMIN)
async def put(call: Call) -> StreamResponse:
    """Make a policy, or put it in the place of the one of this name."""
    name, policy, given = call.path["organization"], call.path["policy"], dict(call.body)

    def change(tx: Transaction, origin: Origin) -> tuple[Policy, bool]:
        permissions.require_access(tx, origin.actor, name, "admin")
        new = tx.get(Policy, name, policy) is None
        return policies.put(tx, origin, name, policy, given, call.now), new

    row, new = await call.hub.store.transact(change, call.origin)
    location = f"/api/orgs/{name}/policies/{policy}" if new else None
    value = render.policy(call.hub, row)
    return responses.resource(call, value, status=201 if new else 200, location=location)


@routes.delete("/orgs/{organization}/policies/{policy}", allow=access.ORGANIZATION_ADMIN)
async def delete(call: Call) -> StreamResponse:
    """Take a policy away."""
    name = call.path["organization"]

    def change(tx: Transaction, origin: Origin) -> None:
        permissions.require_access(tx, origin.actor, name, "admin")
        policies.delete(tx, origin, name, call.path["policy"], call.now)

    await call.hub.store.transact(change, call.origin)
    return responses.empty()
