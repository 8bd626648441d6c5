"""Letting a client in that shows a code (RFC 8628, http-api.md §3.13)."""

from __future__ import annotations

import secrets
from urllib.parse import quote

from aiohttp.web import Response, StreamResponse

from hexhub.attempts import DEVICE_OF_IP, DEVICE_OF_USER
from hexhub.domain import clients, device_codes, scopes, sessions, two_factor
from hexhub.errors import Invalid, NotFound, TooManyRequests
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import DeviceCode
from hexhub.sites.web import pages
from hexhub.sites.web.account import CONFIRMED, forms, signed_in, text

routes = Routes(forms)

TOO_MANY = "Too many wrong codes. Please try again later."


@routes.get("/oauth/device", allow=CONFIRMED)
async def show(call: Call) -> StreamResponse:
    """Where to type the code, or to compare the one that came in the address."""
    return _form(call, device_codes.normal(call.query.get("user_code")))


def _form(call: Call, code: str, wrong: str | None = None, status: int = 200) -> Response:
    return pages.page("device.html", status=status, code=_dashed(code), wrong=wrong)


def _dashed(code: str) -> str:
    half = device_codes.USER_CODE_LENGTH // 2
    return f"{code[:half]}-{code[half:]}" if len(code) > half else code


@routes.post("/oauth/device", allow=CONFIRMED)
async def find(call: Call) -> StreamResponse:
    """Go on with the client of this code."""
    code = device_codes.normal(text(call, "user_code"))
    try:
        row = _waiting(call, code)
    except (NotFound, TooManyRequests) as error:
        return _form(call, code, str(error), 429 if isinstance(error, TooManyRequests) else 422)
    return pages.redirect(f"/oauth/device/authorize?user_code={quote(row.user_code)}")


def _waiting(call: Call, code: object) -> DeviceCode:
    """The client that waits under a code. Guesses are few. Raises NotFound, TooManyRequests."""
    attempts = call.hub.attempts
    guessers = ((DEVICE_OF_USER, signed_in(call)[0].username), (DEVICE_OF_IP, call.ip))
    if any(attempts.exhausted(limit, who, call.now) for limit, who in guessers):
        raise TooManyRequests(TOO_MANY)
    try:
        with call.hub.store.view() as view:
            return device_codes.waiting(view, code, call.now)
    except NotFound:
        for limit, who in guessers:
            attempts.failed(limit, who, call.now)
        raise


@routes.get("/oauth/device/authorize", allow=CONFIRMED)
async def ask(call: Call) -> StreamResponse:
    """Who asks, and for what."""
    return _consent(call, _waiting(call, call.query.get("user_code")))


def _consent(call: Call, row: DeviceCode, wrong: str | None = None, status: int = 200) -> Response:
    with call.hub.store.view() as view:
        factor = two_factor.enabled(view, signed_in(call)[0].username)
        client = clients.known(view, row.client)
    return pages.page(
        "device_authorize.html",
        status=status,
        row=row,
        code=_dashed(row.user_code),
        client=client,
        choices=[
            {
                "scope": scope,
                "meaning": scopes.meaning(scope),
                "possible": factor is not None or not scopes.writes([scope]),
            }
            for scope in row.scopes
        ],
        wrong=wrong,
    )


@routes.post("/oauth/device/authorize", allow=CONFIRMED)
async def decide(call: Call) -> StreamResponse:
    """Let the client in with the chosen scopes, or keep it out."""
    store, user = call.hub.store, signed_in(call)[0]
    row = _waiting(call, text(call, "user_code"))
    if text(call, "decision") != "approve":
        await store.transact(device_codes.deny, row.user_code, user.username, call.now)
        return pages.page("device_done.html", approved=False)
    chosen = tuple(scope for scope in row.scopes if f"scope:{scope}" in call.body)
    session = sessions.of_client(
        f"user:{user.username}",
        secrets.token_hex(16),
        row.client,
        row.name,
        call.ip,
        "",  # the client's own name for itself comes with its first use
        call.now,
    )
    with store.view() as view:
        factor = two_factor.enabled(view, user.username)
    try:
        await store.transact(
            device_codes.approve,
            call.origin,
            row.user_code,
            user.username,
            chosen,
            session,
            call.now,
            two_factor=factor is not None,
        )
    except Invalid as error:
        return _consent(call, row, str(error.errors["scopes"]), 422)
    return pages.page("device_done.html", approved=True)
