"""Test a credential (http-api.md §3.11)."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from cluster import View
from hexhub.domain import permissions
from hexhub.domain.actors import Actor
from hexhub.errors import BadRequest, Forbidden, Unauthenticated
from hexhub.formats.rate_limits import AUTH
from hexhub.http import responses
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import PUBLIC, Organization, Package
from hexhub.sites.api import access
from hexhub.sites.api.pipeline import api

routes = Routes(api, group=AUTH)


def _has_domain(call: Call) -> None:
    if not isinstance(call.parameter("domain"), str):
        raise BadRequest('missing required parameters: "domain"')


@routes.get("/auth", allow=access.OPEN)
async def test(call: Call) -> StreamResponse:
    """Whether the key shown has a permission, and its owner what the permission is about.

    Not by the route's permission: `domain` is looked for first, and a key of any domain may ask.
    """
    _has_domain(call)
    permissions.require_credentials(call.actor)
    permissions.require_verified(call.actor)
    shown = call.actor.credential
    domain, resource = str(call.parameter("domain")), call.parameter("resource")
    resource = str(resource) if resource not in (None, "") else None
    if domain == "package" and resource and "/" not in resource:
        resource = f"{PUBLIC}/{resource}"
    if shown is None or not permissions.grants(shown, domain, resource):
        raise Unauthenticated(permissions.NOT_AUTHORIZED)
    with call.hub.store.view() as view:
        if not _has_access(view, call.actor, domain, resource):
            raise Forbidden(permissions.NOT_ALLOWED)
    key = call.actor.key
    if key is None:
        return responses.empty()
    kind = "user" if call.actor.user else "organization"
    return responses.plain(
        call, {"key": {"name": key.name, "owner": {"type": kind, "name": call.actor.name}}}
    )


def _has_access(view: View, actor: Actor, domain: str, resource: str | None) -> bool:
    if domain in ("repository", "docs"):
        return (
            resource is not None
            and view.get(Organization, resource) is not None
            and permissions.has_role(view, actor, resource, "read")
        )
    if domain == "package" and resource is not None:
        repository, _, name = resource.partition("/")
        return view.get(Package, repository, name) is not None and permissions.is_owner(
            view, actor, repository, name, "maintainer"
        )
    return True
