"""A password by a one-time link: as the operator gives one, or by mail for who has forgotten it."""

from __future__ import annotations

from aiohttp.web import Response, StreamResponse

from hexhub.domain import rules, users
from hexhub.errors import Invalid, TooManyRequests
from hexhub.http import account_mails
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.web import pages, visitors
from hexhub.sites.web.account import ANYONE, forms, text

routes = Routes(pages.web)
"""The key in these forms is a secret of its own: they need no other proof."""
reset_routes = Routes(forms)


def _token_hash(call: Call) -> str:
    return call.hub.secret_hash(str(call.parameter("key") or ""))


@routes.get("/password/new", allow=pages.LINK_HOLDER)
async def show(call: Call) -> StreamResponse:
    """The form; without a key, the one to ask for a link."""
    if "key" not in call.query:
        return pages.redirect("/password/reset")
    with call.hub.store.view() as view:
        link = users.find_link(view, _token_hash(call), "password", call.now)
    return pages.page("password.html", username=link.username, key=call.parameter("key"), errors={})


@routes.post("/password/new", allow=pages.LINK_HOLDER)
async def change(call: Call) -> StreamResponse:
    """Set the password; the link is void from then on, and so is every session."""
    hub, password, token_hash = call.hub, call.body.get("password"), _token_hash(call)
    with hub.store.view() as view:
        link = users.find_link(view, token_hash, "password", call.now)
    try:
        rules.check({"password": rules.password(password)})
    except Invalid as error:
        return pages.page(
            "password.html",
            status=422,
            username=link.username,
            key=call.parameter("key"),
            errors=error.errors,
        )
    hashed = await hub.passwords.hash(str(password))
    user = await hub.store.revoke(
        users.use_password_link, call.origin, token_hash, hashed, call.now
    )
    response = pages.page("password_done.html", username=user.username, url=hub.url)
    if call.session is not None:
        visitors.forget(call, response)
    return response


@reset_routes.get("/password/reset", allow=ANYONE)
async def forgotten(call: Call) -> StreamResponse:
    """Where to ask for a link."""
    return _asked(sent=False)


def _asked(*, sent: bool, wrong: str | None = None, status: int = 200) -> Response:
    return pages.page("password_reset.html", status=status, sent=sent, wrong=wrong)


@reset_routes.post("/password/reset", allow=ANYONE)
async def send(call: Call) -> StreamResponse:
    """Mail a link, if there is such an account; the answer is the same when there is none."""
    try:
        await account_mails.reset_password(call, text(call, "username"))
    except TooManyRequests as error:
        return _asked(sent=False, wrong=str(error), status=429)
    return _asked(sent=True)
