"""What the operator does with sign-ins: second factors, sessions, OAuth clients, ends of accounts."""

from __future__ import annotations

import uuid

from aiohttp.web import StreamResponse

from hexhub.domain import accounts, audit, clients, sessions, two_factor, users
from hexhub.errors import Invalid
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import OauthClient
from hexhub.sites.operator.pipeline import OPERATOR, answer as _json, control

routes = Routes(control)


def _username(call: Call) -> str:
    with call.hub.store.view() as view:
        return users.find(view, call.path["name"]).username


@routes.post("/users/{name}/two-factor/off", allow=OPERATOR)
async def two_factor_off(call: Call) -> StreamResponse:
    """Take the second factor away, for somebody who has lost it and every recovery code."""
    username = _username(call)
    await call.hub.store.transact(two_factor.turn_off, audit.OPERATOR, username, call.now)
    return _json({"username": username})


@routes.post("/users/{name}/sessions/end", allow=OPERATOR)
async def end_sessions(call: Call) -> StreamResponse:
    """Sign somebody out of every browser and client. Keys stay."""
    username = _username(call)
    await call.hub.store.revoke(sessions.end_all, f"user:{username}", call.now)
    return _json({"username": username})


@routes.post("/users/{name}/delete", allow=OPERATOR)
async def delete_user(call: Call) -> StreamResponse:
    """Delete an account for good."""
    username = _username(call)
    await call.hub.store.revoke(accounts.delete, audit.OPERATOR, username, call.now)
    return _json({"username": username})


def _client(client: OauthClient) -> dict[str, object]:
    return {
        "client_id": client.client_id,
        "name": client.name,
        "confidential": client.secret_hash is not None,
        "grants": client.grants,
        "redirect_uris": client.redirect_uris,
        "scopes": client.scopes,
    }


@routes.get("/clients", allow=OPERATOR)
async def list_clients(call: Call) -> StreamResponse:
    """Every OAuth client, those of the package managers included."""
    with call.hub.store.view() as view:
        return _json([_client(client) for client in clients.every(view)])


@routes.post("/clients", allow=OPERATOR)
async def create_client(call: Call) -> StreamResponse:
    """Make a client for a web application; the only answer that shows its secret."""
    hub, body = call.hub, call.body
    secret = hub.new_token() if body.get("confidential") is True else None
    client = OauthClient(
        client_id=str(uuid.uuid4()),
        name=_text(body.get("name"), "name"),
        secret_hash=hub.secret_hash(secret) if secret else None,
        grants=(clients.CODE, clients.REFRESH),
        redirect_uris=_texts(body.get("redirect_uris"), "redirect_uris"),
        scopes=_texts(body.get("scopes"), "scopes"),
    )
    clients.check(client)
    await hub.store.transact(clients.put, client)
    return _json(_client(client) | {"client_secret": secret}, 201)


def _text(value: object, field: str) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise Invalid({field: "can't be blank"})
    return value.strip()


def _texts(value: object, field: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Invalid({field: "expected type list(string)"})
    return tuple(value)


@routes.post("/clients/{client}/remove", allow=OPERATOR)
async def remove_client(call: Call) -> StreamResponse:
    """Remove a client, and end every session that it has."""
    ended = await call.hub.store.revoke(clients.remove, call.path["client"], call.now)
    return _json({"sessions": ended})
