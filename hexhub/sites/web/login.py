"""Signing in with a password and, where it is on, a second factor; signing out (http-api.md §1.12)."""

from __future__ import annotations

from datetime import timedelta

from aiohttp.web import Response, StreamResponse

from cluster import Transaction
from hexhub.domain import sessions, two_factor, users
from hexhub.errors import NotFound, TooManyRequests
from hexhub.http import auth, otp
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import Link
from hexhub.sites.web import pages, visitors
from hexhub.sites.web.account import ANYONE, PERSON, forms, secret, signed_in, text

routes = Routes(forms)

HALF_DONE_FOR = timedelta(minutes=10)
"""How long the second factor may be given after the password."""
WRONG = "Wrong name or password"
WRONG_CODE = "That code is not right. Codes change every half minute."


def _return(call: Call) -> str:
    return visitors.local_path(call.parameter("return"))


@routes.get("/login", allow=ANYONE)
async def show(call: Call) -> StreamResponse:
    """The form; whoever is signed in already goes on."""
    if call.session is not None:
        return pages.redirect(_return(call))
    return _form(call)


def _form(call: Call, wrong: str | None = None, status: int = 200) -> Response:
    return pages.page(
        "login.html",
        status=status,
        back=_return(call),
        name=text(call, "username"),
        wrong=wrong,
        registration=call.hub.registration_open,
    )


@routes.post("/login", allow=ANYONE)
async def sign_in(call: Call) -> StreamResponse:
    """Check the password; takes the same time for a name that nobody has."""
    try:
        user = await auth.password_user(call, text(call, "username"), secret(call, "password"))
    except TooManyRequests as error:
        return _form(call, str(error), 429)
    if user is None or user.disabled:
        return _form(call, WRONG, 401)
    with call.hub.store.view() as view:
        factor = two_factor.enabled(view, user.username)
    if factor is None:
        return await signed_in_as(call, user.username)
    ticket, until = call.hub.new_token(), call.now + HALF_DONE_FOR
    await call.hub.store.transact(
        users.add_link,
        call.origin,
        call.hub.secret_hash(ticket),
        "two_factor",
        user.username,
        until,
        call.now,
    )
    return pages.page("login_code.html", ticket=ticket, back=_return(call), wrong=None)


@routes.post("/login/code", allow=ANYONE)
async def second_factor(call: Call) -> StreamResponse:
    """The second half: a code of the authenticator, or a recovery code."""
    hub, ticket, typed = call.hub, secret(call, "ticket"), text(call, "code")
    ticket_hash = hub.secret_hash(ticket)
    with hub.store.view() as view:
        link = users.find_link(view, ticket_hash, "two_factor", call.now)
    try:
        right = await _right_code(call, link.username, typed)
    except TooManyRequests as error:
        return _code_form(call, ticket, str(error), 429)
    if not right:
        return _code_form(call, ticket, WRONG_CODE, 401)
    return await signed_in_as(call, link.username, ticket_hash)


def _code_form(call: Call, ticket: str, wrong: str, status: int) -> Response:
    return pages.page(
        "login_code.html", status=status, ticket=ticket, back=_return(call), wrong=wrong
    )


async def _right_code(call: Call, username: str, typed: str) -> bool:
    with call.hub.store.view() as view:
        factor = two_factor.enabled(view, username)
    if factor is None:
        return False
    if otp.matches(call, factor, typed):
        return True
    recovery = otp.recovery_hash(call.hub, typed)
    return await call.hub.store.transact(two_factor.use_recovery_code, username, recovery)


async def signed_in_as(call: Call, username: str, ticket_hash: str | None = None) -> Response:
    """Keep a new session: never the one that the browser brought, which another may have planted."""
    session, cookie = visitors.new_session(call, username)

    def begin(tx: Transaction) -> None:
        link = tx.get(Link, ticket_hash) if ticket_hash else None
        if ticket_hash and link is None:
            raise NotFound("This sign-in is over. Start again.")
        if link is not None:
            tx.delete(link)
        if users.find(tx, username).disabled:
            raise NotFound("This sign-in is over. Start again.")
        if call.session is not None:
            sessions.end(tx, call.session, call.now)
        sessions.create(tx, call.origin, session, call.now)

    await call.hub.store.transact(begin)
    response = pages.redirect(_return(call))
    visitors.keep(call, response, cookie)
    return response


@routes.get("/login/confirm", allow=PERSON)
async def ask_again(call: Call) -> StreamResponse:
    """Ask for the password of whoever is signed in already."""
    return pages.page("login_confirm.html", back=_return(call), wrong=None)


@routes.post("/login/confirm", allow=PERSON)
async def confirm(call: Call) -> StreamResponse:
    """Note that the password was given just now."""
    user, session = signed_in(call)
    try:
        found = await auth.password_user(call, user.username, secret(call, "password"))
    except TooManyRequests as error:
        return pages.page("login_confirm.html", status=429, back=_return(call), wrong=str(error))
    if found is None:
        return pages.page(
            "login_confirm.html", status=401, back=_return(call), wrong="Wrong password"
        )
    await call.hub.store.transact(sessions.confirm, session.id, call.now)
    return pages.redirect(_return(call))


@routes.post("/logout", allow=ANYONE)
async def sign_out(call: Call) -> StreamResponse:
    """End the session of this browser."""
    if call.session is not None:
        await call.hub.store.revoke(
            sessions.revoke, call.origin, call.session.owner, call.session.id, call.now
        )
    response = pages.redirect("/")
    visitors.forget(call, response)
    return response
