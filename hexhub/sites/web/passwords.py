"""A password by a one-time link, as `hexhub user create` prints it."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from hexhub.domain import rules, users
from hexhub.errors import Invalid
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.web import pages

routes = Routes(pages.web)


def _token_hash(call: Call) -> str:
    return call.hub.secret_hash(str(call.parameter("key") or ""))


@routes.get("/password/new", allow=pages.LINK_HOLDER)
async def show(call: Call) -> StreamResponse:
    """The form."""
    with call.hub.store.view() as view:
        link = users.find_link(view, _token_hash(call), "password", call.now)
    return pages.page("password.html", username=link.username, key=call.parameter("key"), errors={})


@routes.post("/password/new", allow=pages.LINK_HOLDER)
async def change(call: Call) -> StreamResponse:
    """Set the password; the link is void from then on."""
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
    user = await hub.store.transact(
        users.use_password_link, call.origin, token_hash, hashed, call.now
    )
    return pages.page("password_done.html", username=user.username, url=hub.url)
