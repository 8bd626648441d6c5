"""Who did what: the audit logs of a user, an organization and a package (http-api.md §4.8)."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from hexhub.domain import audit, organizations, packages, permissions
from hexhub.errors import NotFound
from hexhub.http import responses
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import AuditRecord
from hexhub.sites.api import access
from hexhub.sites.api.paging import page
from hexhub.sites.api.pipeline import api, repository

routes = Routes(api)


def _answer(call: Call, records: list[AuditRecord]) -> StreamResponse:
    """Only these three fields: no date, no address, no name of a key."""
    return responses.plain(
        call,
        [
            {"action": row.action, "user_agent": row.user_agent, "params": row.params}
            for row in records
        ],
    )


@routes.get("/users/me/audit-logs", allow=access.ACCOUNT)
async def of_user(call: Call) -> StreamResponse:
    """What the caller did."""
    user = call.actor.user
    if user is None:
        raise NotFound
    with call.hub.store.view() as view:
        return _answer(call, audit.of_user(view, user.username, page(call)))


@routes.get("/orgs/{organization}/audit-logs", allow=access.READER)
async def of_organization(call: Call) -> StreamResponse:
    """What was done to an organization, for its members."""
    with call.hub.store.view() as view:
        name = call.path["organization"]
        permissions.require_access(view, call.actor, name)
        organization = organizations.find(view, name)
        return _answer(call, audit.of_organization(view, organization, page(call)))


@routes.get("/packages/{name}/audit-logs", allow=access.READER)
@routes.get("/repos/{repository}/packages/{name}/audit-logs", allow=access.READER)
async def of_package(call: Call) -> StreamResponse:
    """What was done to a package; public for public packages."""
    with call.hub.store.view() as view:
        package = packages.find(view, call.actor, repository(call), call.path["name"])
        return _answer(call, audit.of_package(view, package, page(call)))
