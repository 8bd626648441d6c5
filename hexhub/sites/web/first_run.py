"""The first administrator, by a link that is printed at start while there is none (design §9)."""

from __future__ import annotations

import hmac

from aiohttp.web import StreamResponse

from hexhub.domain import rules, users
from hexhub.errors import Invalid, NotFound
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.web import pages

routes = Routes(pages.web)


def _check_token(call: Call) -> str:
    """The token, when it is the one of this start and still good. Raises NotFound."""
    hub, given = call.hub, str(call.parameter("token") or "")
    good = hub.first_run_token is not None and hmac.compare_digest(
        given.encode(), hub.first_run_token.encode()
    )
    with hub.store.view() as view:
        taken = bool(users.administrators(view))
    late = hub.first_run_until is None or call.now >= hub.first_run_until
    if not good or taken or late:
        raise NotFound("This link is no longer valid. Restart the node for a new one.")
    return given


@routes.get("/first-run", allow=pages.LINK_HOLDER)
async def show(call: Call) -> StreamResponse:
    """The form."""
    return pages.page("first_run.html", token=_check_token(call), errors={}, username="", email="")


@routes.post("/first-run", allow=pages.LINK_HOLDER)
async def create(call: Call) -> StreamResponse:
    """Make the account; the link is void from then on."""
    token = _check_token(call)
    hub, password = call.hub, call.body.get("password")
    username, email = call.body.get("username"), call.body.get("email")
    try:
        rules.check({"password": rules.password(password)})
        hashed = await hub.passwords.hash(str(password))
        user = await hub.store.transact(
            users.create_first_administrator, call.origin, username, email, hashed, call.now
        )
    except Invalid as error:
        return pages.page(
            "first_run.html",
            status=422,
            token=token,
            errors=error.errors,
            username=str(username or ""),
            email=str(email or ""),
        )
    return pages.page("first_run_done.html", username=user.username, url=hub.url)
