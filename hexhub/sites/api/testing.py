"""What the Hex client's own integration suite needs of a server in test mode (http-api.md §9)."""

from __future__ import annotations

import secrets

from aiohttp.web import StreamResponse

from hexhub.domain import (
    clients,
    device_codes,
    organizations,
    permissions,
    scopes,
    sessions,
    tokens,
    users,
)
from hexhub.errors import HubError, Invalid, NotFound
from hexhub.http import responses
from hexhub.http.call import Call
from hexhub.http.routes import Handler, Routes
from hexhub.schema import OauthClient, Session, User
from hexhub.sites.api import access, oauth
from hexhub.sites.api.pipeline import api

ALL_SCOPES = ["api", "api:read", "api:write", "repositories"]


async def _testing(call: Call, handler: Handler) -> StreamResponse:
    """Outside test mode these routes do not exist."""

    async def missing(call: Call) -> StreamResponse:
        raise NotFound

    return await api(call, handler if call.hub.test_mode else missing)


routes = Routes(_testing)


@routes.post("/repo", allow=access.OPEN)
async def create_repository(call: Call) -> StreamResponse:
    """An organization with the caller as its admin."""
    permissions.require_credentials(call.actor)
    if call.actor.user is None:
        raise NotFound
    await call.hub.store.transact(
        organizations.create,
        call.origin,
        call.parameter("name"),
        call.actor.user.username,
        call.now,
    )
    return responses.empty()


def _texts(call: Call, name: str, default: list[str]) -> tuple[str, ...]:
    value = call.parameter(name)
    found = value if isinstance(value, list) and value else default
    return tuple(text for text in found if isinstance(text, str))


@routes.post("/oauth_client", allow=access.OPEN)
async def put_client(call: Call) -> StreamResponse:
    """Make or replace an OAuth client."""
    client_id, name = call.parameter("client_id"), call.parameter("name")
    if not isinstance(client_id, str) or not clients.UUID.fullmatch(client_id.lower()):
        raise Invalid({"client_id": "is invalid"})
    secret = call.parameter("client_secret")
    client = OauthClient(
        client_id=client_id.lower(),
        name=name if isinstance(name, str) else "",
        secret_hash=call.hub.secret_hash(secret) if isinstance(secret, str) and secret else None,
        grants=_texts(call, "allowed_grant_types", list(clients.GRANTS)),
        redirect_uris=_texts(call, "redirect_uris", []),
        scopes=_texts(call, "allowed_scopes", ALL_SCOPES),
    )
    await call.hub.store.transact(clients.put, client)
    return responses.empty(201)


@routes.post("/oauth_token", allow=access.OPEN)
async def make_token(call: Call) -> StreamResponse:
    """Tokens for a user, as if a device had been let in."""
    hub = call.hub
    with hub.store.view() as view:
        user = _user(call)
        client = clients.known(view, call.parameter("client_id") or next(iter(clients.SEEDED)))
    if user is None:
        return responses.plain(call, {"error": "User not found"}, status=400)
    if client is None:
        return responses.plain(call, {"error": "Client not found"}, status=400)
    granted = scopes.split(call.parameter("scope")) or ("api", "repositories")
    session = _session(call, user, client.client_id)
    await hub.store.transact(sessions.create, call.origin, session, call.now)
    issued = await hub.store.transact(
        tokens.issue, hub.new_mint(), client, session, granted, call.now
    )
    return oauth.token_object(call, issued)


def _user(call: Call) -> User | None:
    try:
        with call.hub.store.view() as view:
            return users.find(view, str(call.parameter("username")))
    except NotFound:
        return None


def _session(call: Call, user: User, client_id: str) -> Session:
    return sessions.of_client(
        f"user:{user.username}",
        secrets.token_hex(16),
        client_id,
        "test",
        call.ip,
        call.user_agent,
        call.now,
    )


@routes.post("/oauth_device_authorize", allow=access.OPEN)
async def authorize_device(call: Call) -> StreamResponse:
    """Let a waiting client in with all that it asked for, without a person or a second factor."""
    hub, user = call.hub, _user(call)
    if user is None:
        return responses.plain(call, {"error": "User not found"}, status=400)
    try:
        with hub.store.view() as view:
            row = device_codes.waiting(view, call.parameter("user_code"), call.now)
        await hub.store.transact(
            device_codes.approve,
            call.origin,
            row.user_code,
            user.username,
            row.scopes,
            _session(call, user, row.client),
            call.now,
            two_factor=True,
        )
    except HubError as error:
        return responses.plain(call, {"error": str(error)}, status=400)
    return responses.plain(call, {"status": "authorized"})


@routes.get("/oauth_device_pending", allow=access.OPEN)
async def pending_device(call: Call) -> StreamResponse:
    """The newest client that waits."""
    with call.hub.store.view() as view:
        row = device_codes.newest_waiting(view, call.now)
    if row is None:
        return responses.plain(call, {"error": "No pending device codes"}, status=404)
    return responses.plain(
        call,
        {
            "user_code": row.user_code,
            "device_code": oauth.device_code(call.hub, row.nonce),
            "status": row.state,
        },
    )
