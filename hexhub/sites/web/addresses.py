"""E-mail addresses: of whoever is signed in, and the link that verifies one (http-api.md §4.9)."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp.web import Response, StreamResponse

from hexhub.domain import emails, users
from hexhub.errors import Errors, Invalid
from hexhub.http import account_mails
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.web import pages
from hexhub.sites.web.account import CONFIRMED, PERSON, forms, signed_in, text

routes = Routes(forms)


@routes.get("/dashboard/emails", allow=PERSON)
async def index(call: Call) -> StreamResponse:
    """The addresses."""
    return _page(call, {})


def _page(call: Call, errors: Errors, status: int = 200) -> Response:
    with call.hub.store.view() as view:
        user = users.find(view, signed_in(call)[0].username)
    return pages.page(
        "dashboard_emails.html",
        status=status,
        user=user,
        errors=errors,
        sent=call.query.get("sent"),
    )


@routes.post("/dashboard/emails", allow=CONFIRMED)
async def add(call: Call) -> StreamResponse:
    """Add an address, and send it a link when mail can be sent."""
    hub, user = call.hub, signed_in(call)[0]
    address = text(call, "email").lower()
    try:
        await hub.store.transact(
            emails.add,
            call.origin,
            user.username,
            address,
            call.now,
            verified=not hub.confirm_addresses,
        )
    except Invalid as error:
        return _page(call, error.errors, 422)
    if hub.confirm_addresses:
        await account_mails.verify_address(call, user.username, address)
        return pages.redirect(f"/dashboard/emails?{urlencode({'sent': address})}")
    return pages.redirect("/dashboard/emails")


@routes.post("/dashboard/emails/{action}", allow=CONFIRMED)
async def change(call: Call) -> StreamResponse:
    """Make an address primary or public, hide the public one, resend its link, or remove it."""
    store, username = call.hub.store, signed_in(call)[0].username
    address, arguments = text(call, "email"), (call.origin, username)
    try:
        match call.path["action"]:
            case "primary":
                await store.transact(emails.choose_primary, *arguments, address, call.now)
            case "public":
                await store.transact(emails.choose_public, *arguments, address, call.now)
            case "hide":
                await store.transact(emails.choose_public, *arguments, None, call.now)
            case "remove":
                await store.transact(emails.remove, *arguments, address, call.now)
            case "resend":
                await account_mails.verify_address(call, username, address)
                return pages.redirect(f"/dashboard/emails?{urlencode({'sent': address})}")
            case _:
                return pages.error(404)
    except Invalid as error:
        return _page(call, error.errors, 422)
    return pages.redirect("/dashboard/emails")


@routes.get("/email/verify", allow=pages.LINK_HOLDER)
async def ask(call: Call) -> StreamResponse:
    """A button and not the deed: programs that look at mails follow links too."""
    with call.hub.store.view() as view:
        link = users.find_link(view, _token_hash(call), emails.PURPOSE, call.now)
    return pages.page("email_verify.html", link=link, key=call.parameter("key"), done=False)


@routes.post("/email/verify", allow=pages.LINK_HOLDER)
async def verify(call: Call) -> StreamResponse:
    """Count the address as its owner's."""
    with call.hub.store.view() as view:
        link = users.find_link(view, _token_hash(call), emails.PURPOSE, call.now)
    await call.hub.store.transact(emails.verify, _token_hash(call), call.now)
    return pages.page("email_verify.html", link=link, key="", done=True)


def _token_hash(call: Call) -> str:
    return call.hub.secret_hash(str(call.parameter("key") or ""))
