"""API keys of users and organizations (http-api.md §3.10)."""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp.web import StreamResponse

from cluster import View
from hexhub.domain import keys, organizations, permissions
from hexhub.errors import Invalid, NotFound
from hexhub.formats.rate_limits import AUTH
from hexhub.http import responses
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.api import access, render
from hexhub.sites.api.pipeline import api

routes = Routes(api)


def _owner(call: Call, view: View, role: str) -> str:
    """Whose keys the path means. Raises NotFound for those the actor may not manage."""
    if "organization" in call.path:
        name = call.path["organization"]
        permissions.require_access(view, call.actor, name, role)
        organizations.find(view, name)
        return f"org:{name}"
    if call.actor.user is None:
        raise NotFound
    return f"user:{call.actor.user.username}"


@routes.get("/keys", allow=access.KEY_READER)
@routes.get("/orgs/{organization}/keys", allow=access.KEY_READER)
async def index(call: Call) -> StreamResponse:
    """Live keys by name."""
    with call.hub.store.view() as view:
        owner = _owner(call, view, "read")
        value = [
            render.key(call.hub, view, key, call.actor) for key in keys.live(view, owner, call.now)
        ]
    return responses.resource(call, value)


@routes.get("/keys/{key}", allow=access.KEY_READER)
@routes.get("/orgs/{organization}/keys/{key}", allow=access.KEY_READER)
async def show(call: Call) -> StreamResponse:
    """One key."""
    with call.hub.store.view() as view:
        key = keys.find(view, _owner(call, view, "read"), call.path["key"], call.now)
        value = render.key(call.hub, view, key, call.actor)
    return responses.resource(call, value, conditional=True, modified=key.updated_at)


@routes.post("/keys", allow=access.KEY_MAKER, group=AUTH)
@routes.post("/orgs/{organization}/keys", allow=access.KEY_MAKER, group=AUTH)
async def create(call: Call) -> StreamResponse:
    """Make a key; the only answer that shows its secret."""
    hub = call.hub
    with hub.store.view() as view:
        owner = _owner(call, view, "write")
    secret = hub.new_secret()
    key = await hub.store.transact(
        keys.create,
        call.origin,
        owner,
        call.parameter("name"),
        call.parameter("permissions"),
        _moment(call.parameter("revoke_at")),
        hub.secret_hash(secret),
        call.now,
    )
    with hub.store.view() as view:
        value = render.key(hub, view, key, call.actor, secret)
    location = str(value["url"]).removeprefix(hub.url)
    return responses.resource(call, value, status=201, location=location)


def _moment(value: object) -> datetime | None:
    if value in (None, ""):
        return None
    try:
        moment = datetime.fromisoformat(str(value))
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Invalid({"revoke_at": "is invalid"}) from None


@routes.delete("/keys/{key}", allow=access.KEY_OWNER)
@routes.delete("/orgs/{organization}/keys/{key}", allow=access.KEY_OWNER)
async def delete(call: Call) -> StreamResponse:
    """Revoke one key; answers the key, which Hex up to 2.3 needs."""
    hub = call.hub
    with hub.store.view() as view:
        owner = _owner(call, view, "write")
    key = await hub.store.revoke(keys.revoke, call.origin, owner, call.path["key"], call.now)
    with hub.store.view() as view:
        value = render.key(hub, view, key, call.actor)
    return responses.resource(call, value)


@routes.delete("/keys", allow=access.KEY_OWNER)
@routes.delete("/orgs/{organization}/keys", allow=access.KEY_OWNER)
async def delete_all(call: Call) -> StreamResponse:
    """Revoke all; answers the key that asked, or null when it was a password."""
    hub = call.hub
    with hub.store.view() as view:
        owner = _owner(call, view, "write")
    revoked = await hub.store.revoke(keys.revoke_all, call.origin, owner, call.now)
    asking = call.actor.key
    mine = next((key for key in revoked if asking and key.lookup == asking.lookup), None)
    with hub.store.view() as view:
        shown = mine or asking
        value = render.key(hub, view, shown, call.actor) if shown else None
    return responses.resource(call, value)
