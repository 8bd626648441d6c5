"""The account of whoever is signed in: profile, password, addresses, sessions, its end."""

from __future__ import annotations

from aiohttp.web import Response, StreamResponse

from hexhub.domain import accounts, audit, clients, mails, rules, sessions, users
from hexhub.errors import Errors, Invalid, TooManyRequests
from hexhub.http import auth
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import OauthClient, SessionUse
from hexhub.sites.web import history, pages, visitors
from hexhub.sites.web.account import CONFIRMED, PERSON, forms, secret, signed_in, text

routes = Routes(forms)

MAILS = {
    "release_published": "A package of mine was published",
    "owner_added": "A package of mine got another owner",
    "owner_removed": "A package of mine lost an owner",
    "member_added": "I was added to an organization",
}


@routes.get("/dashboard", allow=PERSON)
async def profile(call: Call) -> StreamResponse:
    """What others see, and which mails to get."""
    return _profile(call, {})


def _profile(call: Call, errors: Errors, status: int = 200) -> Response:
    user = signed_in(call)[0]
    return pages.page(
        "dashboard_profile.html",
        status=status,
        user=user,
        services=accounts.HANDLES,
        handles=accounts.handles(user),
        mails=MAILS,
        errors=errors,
        saved="saved" in call.query,
    )


@routes.post("/dashboard/profile", allow=PERSON)
async def save_profile(call: Call) -> StreamResponse:
    """Change full name and handles."""
    typed = {service: text(call, f"handle:{service}") for service in accounts.HANDLES}
    try:
        await call.hub.store.transact(
            accounts.update_profile,
            call.origin,
            signed_in(call)[0].username,
            text(call, "full_name"),
            typed,
            call.now,
        )
    except Invalid as error:
        return _profile(call, error.errors, 422)
    return pages.redirect("/dashboard?saved")


@routes.post("/dashboard/mails", allow=PERSON)
async def save_mails(call: Call) -> StreamResponse:
    """Choose the mails to get."""
    wanted = frozenset(name for name in mails.OPTIONAL if f"mail:{name}" in call.body)
    await call.hub.store.transact(
        accounts.choose_mails, call.origin, signed_in(call)[0].username, wanted, call.now
    )
    return pages.redirect("/dashboard?saved")


# Password


@routes.get("/dashboard/password", allow=PERSON)
async def password(call: Call) -> StreamResponse:
    """The form."""
    return pages.page("dashboard_password.html", errors={}, saved="saved" in call.query)


@routes.post("/dashboard/password", allow=PERSON)
async def change_password(call: Call) -> StreamResponse:
    """Change the password, against the one that holds; ends every other session."""
    hub, new = call.hub, secret(call, "password")
    user, session = signed_in(call)
    try:
        rules.check({"password": rules.password(new)})
        if await auth.password_user(call, user.username, secret(call, "current")) is None:
            raise Invalid({"current": "is wrong"})
        hashed = await hub.passwords.hash(new)
        await hub.store.revoke(
            users.set_password,
            call.origin,
            user.username,
            hashed,
            call.now,
            keep=session.id,
        )
    except Invalid as error:
        return pages.page("dashboard_password.html", status=422, errors=error.errors, saved=False)
    return pages.redirect("/dashboard/password?saved")


# Sessions


@routes.get("/dashboard/sessions", allow=PERSON)
async def show_sessions(call: Call) -> StreamResponse:
    """Every browser that is signed in, and every client that was let in."""
    user, session = signed_in(call)
    with call.hub.store.view() as view:
        rows = [
            {
                "session": row,
                "use": view.get(SessionUse, row.id),
                "client": _client_name(clients.known(view, row.client)),
                "mine": row.id == session.id,
            }
            for row in sessions.live(view, f"user:{user.username}", call.now)
        ]
    return pages.page("dashboard_sessions.html", rows=rows)


def _client_name(client: OauthClient | None) -> str | None:
    return client.name if client else None


@routes.post("/dashboard/sessions/{session}/revoke", allow=PERSON)
async def revoke_session(call: Call) -> StreamResponse:
    """End one session with all of its tokens."""
    user, own = signed_in(call)
    await call.hub.store.revoke(
        sessions.revoke, call.origin, f"user:{user.username}", call.path["session"], call.now
    )
    response = pages.redirect("/dashboard/sessions")
    if call.path["session"] == own.id:
        visitors.forget(call, response)
    return response


@routes.post("/dashboard/sessions/revoke", allow=PERSON)
async def revoke_others(call: Call) -> StreamResponse:
    """End every session but this one."""
    user, own = signed_in(call)
    await call.hub.store.revoke(sessions.end_all, f"user:{user.username}", call.now, but=own.id)
    return pages.redirect("/dashboard/sessions")


# What happened


@routes.get("/dashboard/audit", allow=PERSON)
async def show_audit(call: Call) -> StreamResponse:
    """What was done in this person's name, newest first."""
    username = signed_in(call)[0].username
    with call.hub.store.view() as view:
        found = history.read(call, lambda page: audit.of_user(view, username, page))
    return pages.page("dashboard_audit.html", found=found)


# The end


@routes.get("/dashboard/delete", allow=CONFIRMED)
async def ask_to_delete(call: Call) -> StreamResponse:
    """What goes and what stays."""
    return pages.page("dashboard_delete.html", user=signed_in(call)[0], errors={})


@routes.post("/dashboard/delete", allow=CONFIRMED)
async def delete(call: Call) -> StreamResponse:
    """Delete the account, once its name was typed and its password given."""
    user = signed_in(call)[0]
    try:
        if text(call, "username") != user.username:
            raise Invalid({"username": "type your user name to confirm"})
        if await auth.password_user(call, user.username, secret(call, "password")) is None:
            raise Invalid({"password": "is wrong"})
        await call.hub.store.revoke(accounts.delete, call.origin, user.username, call.now)
    except (Invalid, TooManyRequests) as error:
        errors = error.errors if isinstance(error, Invalid) else {"password": str(error)}
        return pages.page("dashboard_delete.html", status=422, user=user, errors=errors)
    response = pages.redirect("/")
    visitors.forget(call, response)
    return response
