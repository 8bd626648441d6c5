"""The API keys of whoever is signed in: list, make, revoke (http-api.md §3.10)."""

from __future__ import annotations

from datetime import timedelta

from aiohttp.web import Response, StreamResponse

from hexhub.domain import clients, keys, tokens, users
from hexhub.errors import Errors, Invalid
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import KeyUse
from hexhub.sites.web import pages
from hexhub.sites.web.account import CONFIRMED, PERSON, forms, signed_in, text

routes = Routes(forms)

LIFETIMES = {"": None, "30": 30, "90": 90, "365": 365}
"""Days after which a key ends, as the form offers them."""


@routes.get("/dashboard/keys", allow=PERSON)
async def index(call: Call) -> StreamResponse:
    """The live keys."""
    return _page(call, {})


def _page(call: Call, errors: Errors, *, status: int = 200, made: object = None) -> Response:
    user = signed_in(call)[0]
    with call.hub.store.view() as view:
        rows = [
            {"key": key, "use": view.get(KeyUse, key.lookup)}
            for key in keys.live(view, f"user:{user.username}", call.now)
        ]
        exchanged = [
            {"token": token, "key": key, "client": clients.known(view, token.client)}
            for token, key in tokens.live_of_keys(view, f"user:{user.username}", call.now)
        ]
        repositories = [row.organization for row in users.organizations(view, user.username)]
    return pages.page(
        "dashboard_keys.html",
        status=status,
        rows=rows,
        exchanged=exchanged,
        repositories=repositories,
        lifetimes=LIFETIMES,
        errors=errors,
        made=made,
        name=text(call, "name") if errors else "",
    )


@routes.post("/dashboard/keys", allow=CONFIRMED)
async def create(call: Call) -> StreamResponse:
    """Make a key; the only page that shows its secret."""
    hub, secret = call.hub, call.hub.new_secret()
    days = LIFETIMES.get(text(call, "days"))
    try:
        key = await hub.store.transact(
            keys.create,
            call.origin,
            f"user:{signed_in(call)[0].username}",
            text(call, "name"),
            _permissions(call),
            call.now + timedelta(days=days) if days else None,
            hub.secret_hash(secret),
            call.now,
        )
    except Invalid as error:
        return _page(call, error.errors, status=422)
    return _page(call, {}, made={"name": key.name, "secret": secret})


def _permissions(call: Call) -> list[dict[str, str | None]]:
    """What was ticked: `api`, `repositories` and `repository:NAME`. Raises Invalid for nothing."""
    found: list[dict[str, str | None]] = []
    api = text(call, "api")
    if api == "all":
        found.append({"domain": "api", "resource": None})
    elif api in ("read", "write"):
        found.append({"domain": "api", "resource": api})
    if "repositories" in call.body:
        found.append({"domain": "repositories", "resource": None})
    for field in call.body:
        domain, colon, name = field.partition(":")
        if domain in ("repository", "docs", "package") and colon:
            found.append({"domain": domain, "resource": name})
    if not found:
        raise Invalid({"permissions": "choose at least one"})
    return found


@routes.post("/dashboard/keys/revoke", allow=PERSON)
async def revoke(call: Call) -> StreamResponse:
    """Revoke the key of this name."""
    await call.hub.store.revoke(
        keys.revoke,
        call.origin,
        f"user:{signed_in(call)[0].username}",
        text(call, "name"),
        call.now,
    )
    return pages.redirect("/dashboard/keys")


@routes.post("/dashboard/keys/revoke-all", allow=PERSON)
async def revoke_all(call: Call) -> StreamResponse:
    """Revoke every key."""
    await call.hub.store.revoke(
        keys.revoke_all, call.origin, f"user:{signed_in(call)[0].username}", call.now
    )
    return pages.redirect("/dashboard/keys")


@routes.post("/dashboard/keys/tokens/{token}/revoke", allow=PERSON)
async def revoke_token(call: Call) -> StreamResponse:
    """End one token that a key was exchanged for."""
    await call.hub.store.revoke(
        tokens.revoke_of_key,
        call.origin,
        f"user:{signed_in(call)[0].username}",
        call.path["token"],
        call.now,
    )
    return pages.redirect("/dashboard/keys")
