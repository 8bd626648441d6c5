"""Letting a web application in, by an authorization code with PKCE (http-api.md §3.13)."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

from aiohttp.web import Response, StreamResponse

from hexhub.domain import authorization_codes, clients, scopes, two_factor
from hexhub.errors import BadRequest, OauthRefused
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import OauthClient
from hexhub.sites.web import pages
from hexhub.sites.web.account import CONFIRMED, forms, signed_in

routes = Routes(forms)

FIELDS = (
    "client_id",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
)
STATE_LENGTH_MAX = 2048


class _Wrong(Exception):
    """A request that is answered by going back to the application with an error."""


def _parameter(call: Call, name: str) -> str:
    value = call.parameter(name)
    return value if isinstance(value, str) else ""


def _client(call: Call) -> tuple[OauthClient, str]:
    """The application, and where answers go. Raises BadRequest, and leads nowhere then."""
    redirect_uri = _parameter(call, "redirect_uri")
    with call.hub.store.view() as view:
        client = clients.known(view, _parameter(call, "client_id"))
    if client is None or clients.CODE not in client.grants:
        raise BadRequest("This application is not known here")
    if not clients.has_redirect(client, redirect_uri):
        raise BadRequest("The application asked to be answered at an address that is not its own")
    return client, redirect_uri


def _wanted(call: Call, client: OauthClient) -> tuple[str, ...]:
    """The scopes asked for, in a request that is complete. Raises _Wrong."""
    state, challenge = _parameter(call, "state"), _parameter(call, "code_challenge")
    if not state or len(state) > STATE_LENGTH_MAX or not state.isprintable():
        raise _Wrong("state is missing")
    if _parameter(call, "code_challenge_method") != "S256":
        raise _Wrong("code_challenge_method must be S256")
    if not authorization_codes.CHALLENGE.fullmatch(challenge):
        raise _Wrong("code_challenge is missing or malformed")
    try:
        wanted = scopes.spelled_out(scopes.split(_parameter(call, "scope")))
        clients.require_scopes(client, wanted)
    except OauthRefused as error:
        raise _Wrong(str(error)) from error
    if not wanted:
        raise _Wrong("scope is missing")
    return wanted


def _back(redirect_uri: str, state: str, **fields: str) -> Response:
    """Go back to the application with these fields in the query."""
    parts = urlsplit(redirect_uri)
    query = parse_qsl(parts.query, keep_blank_values=True) + list(fields.items())
    if state and len(state) <= STATE_LENGTH_MAX and state.isprintable():
        query.append(("state", state))
    return pages.redirect(parts._replace(query=urlencode(query)).geturl())


def _origin(redirect_uri: str) -> str:
    """What a content security policy calls the application's address."""
    parts = urlsplit(redirect_uri)
    web = parts.scheme in ("http", "https") and ";" not in parts.netloc
    return f"{parts.scheme}://{parts.netloc}" if web else f"{parts.scheme}:"


@routes.get("/oauth/authorize", allow=CONFIRMED)
async def ask(call: Call) -> StreamResponse:
    """Who asks, and for what."""
    client, redirect_uri = _client(call)
    try:
        wanted = _wanted(call, client)
    except _Wrong as error:
        return _back(
            redirect_uri,
            _parameter(call, "state"),
            error="invalid_request",
            error_description=str(error),
        )
    with call.hub.store.view() as view:
        factor = two_factor.enabled(view, signed_in(call)[0].username)
    return pages.page(
        "authorize.html",
        forms_to=_origin(redirect_uri),
        client=client,
        redirect_uri=redirect_uri,
        fields={name: _parameter(call, name) for name in FIELDS},
        choices=[
            {
                "scope": scope,
                "meaning": scopes.meaning(scope),
                "possible": factor is not None or not scopes.writes([scope]),
            }
            for scope in wanted
        ],
    )


@routes.post("/oauth/authorize", allow=CONFIRMED)
async def decide(call: Call) -> StreamResponse:
    """Go back to the application with a code, or with the refusal."""
    hub, state, user = call.hub, _parameter(call, "state"), signed_in(call)[0]
    client, redirect_uri = _client(call)
    try:
        wanted = _wanted(call, client)
    except _Wrong as error:
        return _back(redirect_uri, state, error="invalid_request", error_description=str(error))
    granted = tuple(scope for scope in wanted if f"scope:{scope}" in call.body)
    with hub.store.view() as view:
        factor = two_factor.enabled(view, user.username)
    refused = not granted or (factor is None and scopes.writes(granted))
    if call.body.get("decision") != "approve" or refused:
        return _back(redirect_uri, state, error="access_denied")
    code = hub.new_token()
    await hub.store.transact(
        authorization_codes.create,
        hub.secret_hash(code),
        client,
        user.username,
        granted,
        redirect_uri,
        _parameter(call, "code_challenge"),
        call.now,
    )
    return _back(redirect_uri, state, code=code)
