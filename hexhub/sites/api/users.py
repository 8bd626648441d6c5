"""Users (http-api.md §3.2)."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from hexhub.domain import organizations, rules, users
from hexhub.errors import Forbidden, NotFound
from hexhub.formats.rate_limits import AUTH
from hexhub.http import account_mails, responses
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import Organization
from hexhub.sites.api import access, render
from hexhub.sites.api.pipeline import api

routes = Routes(api)


@routes.post("/users", allow=access.OPEN, group=AUTH)
async def create(call: Call) -> StreamResponse:
    """Register, where the operator has opened registration."""
    hub = call.hub
    if not hub.registration_open:
        raise Forbidden("registration is closed; ask an administrator")
    password = call.parameter("password")
    rules.check({"password": _password_problem(password, call.body)})
    hashed = await hub.passwords.hash(str(password)) if password else None
    full_name = call.parameter("full_name")
    rules.check({"full_name": rules.full_name(full_name) if full_name else None})
    user = await hub.store.transact(
        users.create,
        call.origin,
        call.parameter("username"),
        _address(call),
        hashed,
        call.now,
        verified=not hub.confirm_addresses,
        full_name=str(full_name) if full_name else None,
    )
    if hub.confirm_addresses and user.primary is not None:
        await account_mails.verify_address(call, user.username, user.primary.address)
    return responses.resource(
        call,
        render.user_full(hub, user),
        status=201,
        location=f"/api/users/{user.username}",
    )


def _password_problem(password: object, body: object) -> str | None:
    if password is None:
        return None
    if problem := rules.password(password):
        return problem
    confirmation = body.get("password_confirmation") if isinstance(body, dict) else None
    matches = confirmation in (None, password)
    return None if matches else "does not match password"


def _address(call: Call) -> object:
    emails = call.parameter("emails")
    if isinstance(emails, list) and emails and isinstance(emails[0], dict):
        return emails[0].get("email")
    return call.parameter("email")


@routes.get("/users/me", allow=access.ACCOUNT)
async def me(call: Call) -> StreamResponse:
    """The caller; asked before every `mix hex.publish`."""
    user = call.actor.user
    if user is None:
        raise NotFound
    with call.hub.store.view() as view:
        value = render.me(call.hub, view, call.actor, user)
    return responses.resource(call, value, conditional=True, modified=user.updated_at)


@routes.get("/users/{who}", allow=access.VISITOR)
async def show(call: Call) -> StreamResponse:
    """A user by name or public address, or an organization by name."""
    return _show(call)


@routes.post("/users/{who}/reset", allow=access.OPEN, group=AUTH)
async def reset(call: Call) -> StreamResponse:
    """Mail a link to set a new password. The answer does not tell whether there is such a user."""
    await account_mails.reset_password(call, call.path["who"])
    return responses.empty()


@routes.get("/users/{who}/test", allow=access.ACCOUNT, group=AUTH)
async def test(call: Call) -> StreamResponse:
    """As `show`, for clients that want to try a credential."""
    return _show(call)


def _show(call: Call) -> StreamResponse:
    hub, who = call.hub, call.path["who"]
    with hub.store.view() as view:
        if view.get(Organization, who):
            organization = organizations.find(view, who)
            value = render.organization_user(hub, organization)
            modified = organization.updated_at
        else:
            user = users.find_public(view, who)
            value = render.user_with_packages(hub, view, call.actor, user)
            modified = user.updated_at
    return responses.resource(call, value, conditional=True, modified=modified)
