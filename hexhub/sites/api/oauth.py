"""OAuth for clients: device authorization, tokens, revocation (http-api.md §3.13)."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp.web import Response, StreamResponse

from hexhub.domain import authorization_codes, clients, device_codes, scopes, sessions, tokens
from hexhub.domain.device_codes import Codes
from hexhub.domain.tokens import Issued
from hexhub.errors import OauthRefused
from hexhub.formats import sealed
from hexhub.formats.rate_limits import AUTH
from hexhub.http import auth, responses
from hexhub.http.call import Call
from hexhub.http.routes import Handler, Routes
from hexhub.hub import Hub
from hexhub.schema import OauthClient, Session
from hexhub.sites.api import access
from hexhub.sites.api.pipeline import api

routes = Routes(api, group=AUTH)

STATUSES = {"invalid_client": 401, "access_denied": 403, "server_error": 500}
SHA256 = re.compile(r"[0-9a-fA-F]{64}")
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}

Grant: TypeAlias = Callable[[Call, OauthClient], Awaitable[Issued]]


def _oauth(handler: Handler) -> Handler:
    """Answer a refusal with OAuth's error object, which has neither status nor message."""

    async def answered(call: Call) -> StreamResponse:
        try:
            return await handler(call)
        except OauthRefused as error:
            return refusal(call, error)

    return answered


def refusal(call: Call, error: OauthRefused) -> Response:
    """The error object, in the format of the answer."""
    response = responses.plain(
        call,
        {"error": error.code, "error_description": str(error)},
        status=STATUSES.get(error.code, 400),
    )
    if response.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="hex"'
    return response


def _text(call: Call, name: str) -> str | None:
    """A parameter; what is no text, or could not be stored as one, counts as absent."""
    value = call.parameter(name)
    if not isinstance(value, str) or not value or "\0" in value:
        return None
    return value.encode("utf-8", "replace").decode()


def token_object(call: Call, issued: Issued) -> Response:
    """The answer that carries tokens."""
    value: dict[str, object] = {
        "access_token": issued.access,
        "token_type": "bearer",
        "expires_in": int(tokens.ACCESS_FOR.total_seconds()),
        "scope": " ".join(issued.row.scopes),
    }
    if issued.refresh is not None:
        value["refresh_token"] = issued.refresh
    response = responses.plain(call, value)
    response.headers.update(NO_STORE)
    return response


def device_code(hub: Hub, nonce: str) -> str:
    """The device code of a nonce: 32 characters that nobody can find without the hub's secret."""
    digest = bytes.fromhex(sealed.keyed_hash(hub.hashing_key, f"device code {nonce}"))
    return base64.urlsafe_b64encode(digest[:24]).decode()


@routes.post("/oauth/device_authorization", allow=access.OPEN)
@_oauth
async def device_authorization(call: Call) -> StreamResponse:
    """Begin a device authorization. The addresses are the configured ones, not the request's."""
    hub = call.hub
    with hub.store.view() as view:
        client = clients.find(view, _text(call, "client_id"))
    clients.require_grant(client, clients.DEVICE)
    wanted = scopes.spelled_out(scopes.split(call.parameter("scope")))
    clients.require_scopes(client, wanted)
    nonce = secrets.token_hex(16)
    code = device_code(hub, nonce)
    row = await hub.store.transact(
        device_codes.request,
        client,
        wanted,
        _text(call, "name"),
        Codes(hub.secret_hash(code), nonce, _new_user_code()),
        call.now,
    )
    uri = f"{hub.url}/oauth/device"
    response = responses.plain(
        call,
        {
            "device_code": code,
            "user_code": row.user_code,
            "verification_uri": uri,
            "verification_uri_complete": f"{uri}?user_code={row.user_code}",
            "expires_in": int(device_codes.GOOD_FOR.total_seconds()),
            "interval": device_codes.INTERVAL_S,
        },
    )
    response.headers.update(NO_STORE)
    return response


def _new_user_code() -> str:
    alphabet = device_codes.USER_CODE_ALPHABET
    return "".join(secrets.choice(alphabet) for _ in range(device_codes.USER_CODE_LENGTH))


@routes.post("/oauth/token", allow=access.OPEN)
@_oauth
async def token(call: Call) -> StreamResponse:
    """Tokens by one of the four grants."""
    name = _text(call, "grant_type") or ""
    grant = GRANTS.get(name)
    if grant is None:
        raise OauthRefused("unsupported_grant_type", "Unsupported grant type")
    with call.hub.store.view() as view:
        client = clients.find(view, _text(call, "client_id"))
    clients.require_grant(client, name)
    if name != clients.KEY:
        secret = _text(call, "client_secret")
        clients.require_secret(client, call.hub.secret_hash(secret) if secret else None)
    return token_object(call, await grant(call, client))


async def _by_device_code(call: Call, client: OauthClient) -> Issued:
    code = _text(call, "device_code")
    return await call.hub.store.revoke(  # a former pair ends
        device_codes.poll,
        call.hub.new_mint(),
        client,
        call.hub.secret_hash(code) if code else None,
        call.now,
    )


async def _by_refresh_token(call: Call, client: OauthClient) -> Issued:
    presented = _text(call, "refresh_token")
    if presented is None:
        raise OauthRefused("invalid_grant", "Missing refresh token")
    return await call.hub.store.revoke(
        tokens.refresh, call.hub.new_mint(), client, presented, call.now
    )


async def _by_key(call: Call, client: OauthClient) -> Issued:
    """`client_secret` is the secret of an API key."""
    secret = _text(call, "client_secret")
    if secret is None:
        raise OauthRefused("invalid_request", "Missing or invalid client_secret")
    wanted = scopes.split(call.parameter("scope"))
    key = auth.live_key(call, secret)
    if key is None:
        raise OauthRefused("invalid_client", "Invalid API key")
    return await call.hub.store.transact(
        tokens.exchange, call.hub.new_mint(), client, key.lookup, wanted, call.now
    )


async def _by_authorization_code(call: Call, client: OauthClient) -> Issued:
    hub, code = call.hub, _text(call, "code")
    if code is None:
        raise OauthRefused("invalid_grant", "Missing authorization code")
    return await hub.store.transact(
        authorization_codes.redeem,
        call.origin,
        hub.new_mint(),
        client,
        hub.secret_hash(code),
        call.parameter("redirect_uri"),
        call.parameter("code_verifier"),
        _session(call, client),
        call.now,
    )


def _session(call: Call, client: OauthClient) -> Session:
    return sessions.of_client(
        "", secrets.token_hex(16), client.client_id, client.name, call.ip, call.user_agent, call.now
    )


GRANTS: dict[str, Grant] = {
    clients.DEVICE: _by_device_code,
    clients.REFRESH: _by_refresh_token,
    clients.KEY: _by_key,
    clients.CODE: _by_authorization_code,
}


@routes.post("/oauth/revoke", allow=access.OPEN)
async def revoke(call: Call) -> StreamResponse:
    """End a pair of tokens; always 200 and nothing, whatever happened."""
    presented, client_id = _text(call, "token"), _text(call, "client_id")
    if presented is not None and client_id is not None:
        await call.hub.store.revoke(
            tokens.revoke_presented, call.hub.token_key, presented, client_id, call.now
        )
    return responses.empty(200, headers=NO_STORE)


@routes.post("/oauth/revoke_by_hash", allow=access.OPEN)
async def revoke_by_hash(call: Call) -> StreamResponse:
    """End the session that a refresh token belongs to, by its SHA-256."""
    token_hash = _text(call, "token_hash")
    if token_hash is not None and SHA256.fullmatch(token_hash):
        await call.hub.store.revoke(tokens.revoke_by_hash, call.origin, token_hash, call.now)
    return responses.empty(200, headers=NO_STORE)
