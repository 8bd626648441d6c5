"""Making an account oneself, where the operator has opened registration (http-api.md §3.2)."""

from __future__ import annotations

from aiohttp.web import Response, StreamResponse

from hexhub.domain import rules, users
from hexhub.errors import Errors, Invalid, NotFound
from hexhub.http import account_mails
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.web import pages
from hexhub.sites.web.account import ANYONE, forms, secret, text
from hexhub.sites.web.login import signed_in_as

routes = Routes(forms)


def _require_open(call: Call) -> None:
    if not call.hub.registration_open:
        raise NotFound("Registration is closed; an administrator of this hub makes accounts")


def _form(call: Call, errors: Errors, status: int = 200) -> Response:
    return pages.page(
        "signup.html",
        status=status,
        errors=errors,
        username=text(call, "username"),
        email=text(call, "email"),
    )


@routes.get("/signup", allow=ANYONE)
async def show(call: Call) -> StreamResponse:
    """The form."""
    _require_open(call)
    return _form(call, {})


@routes.post("/signup", allow=ANYONE)
async def create(call: Call) -> StreamResponse:
    """Make the account and sign it in; its address is verified by a mail where one can be sent."""
    _require_open(call)
    hub, password = call.hub, secret(call, "password")
    try:
        rules.check({"password": rules.password(password)})
        user = await hub.store.transact(
            users.create,
            call.origin,
            text(call, "username"),
            text(call, "email"),
            await hub.passwords.hash(password),
            call.now,
            verified=not hub.confirm_addresses,
        )
    except Invalid as error:
        return _form(call, error.errors, 422)
    if hub.confirm_addresses and user.primary is not None:
        await account_mails.verify_address(call, user.username, user.primary.address)
    return await signed_in_as(call, user.username)
