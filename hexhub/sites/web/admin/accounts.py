"""Users and organizations, as an administrator manages them."""

from __future__ import annotations

from datetime import timedelta

from aiohttp.web import Response, StreamResponse

from hexhub.domain import organizations, users
from hexhub.errors import Invalid
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import Organization, Package, User
from hexhub.sites.web import pages
from hexhub.sites.web.account import text
from hexhub.sites.web.admin import gate

routes = Routes(gate.administration)

LINK_GOOD_FOR = timedelta(hours=24)


@routes.get("/users", allow=gate.LOOKS)
async def list_users(call: Call) -> StreamResponse:
    """Every account that matches."""
    return _users(call)


def _users(call: Call, *, status: int = 200, wrong: str = "", link: object = None) -> Response:
    wanted = gate.wanted(call)
    with call.hub.store.view() as view:
        found = [user for user in view.scan(User) if wanted in user.username or _has(user, wanted)]
    part, pager = gate.paged(call, found)
    return gate.page(
        "users.html",
        status=status,
        found=part,
        pager_of=pager,
        wanted=wanted,
        wrong=wrong,
        link=link,
    )


def _has(user: User, wanted: str) -> bool:
    return any(wanted in email.address for email in user.emails)


@routes.post("/users/new", allow=gate.CHANGES)
async def create_user(call: Call) -> StreamResponse:
    """Make a verified account, and a link for its first password."""
    try:
        user = await call.hub.store.transact(
            users.create,
            call.origin,
            text(call, "username"),
            text(call, "email"),
            None,
            call.now,
            verified=True,
            admin="admin" in call.body,
        )
    except Invalid as error:
        return _users(call, status=422, wrong=gate.words(error.errors))
    return _users(call, link={"name": user.username, "address": await _link(call, user.username)})


async def _link(call: Call, username: str) -> str:
    hub, token = call.hub, call.hub.new_token()
    await hub.store.transact(
        users.add_link,
        call.origin,
        hub.secret_hash(token),
        "password",
        username,
        call.now + LINK_GOOD_FOR,
        call.now,
    )
    return f"{hub.url}/password/new?username={username}&key={token}"


@routes.post("/users/{name}/{act}", allow=gate.CHANGES)
async def change_user(call: Call) -> StreamResponse:
    """Disable, enable, promote, demote, or give a link for a password."""
    name, act, revoke = call.path["name"], call.path["act"], call.hub.store.revoke
    me = call.actor.user.username if call.actor.user else ""
    if name == me and act in ("disable", "demote"):
        return _users(call, status=422, wrong="another administrator has to do that to you")
    match act:
        case "disable":
            await revoke(users.disable, call.origin, name, call.now)
        case "enable":
            await call.hub.store.transact(users.enable, call.origin, name, call.now)
        case "promote" | "demote":
            await revoke(users.set_admin, call.origin, name, act == "promote", call.now)
        case "link":
            return _users(call, link={"name": name, "address": await _link(call, name)})
    return pages.redirect("/admin/users")


@routes.get("/organizations", allow=gate.LOOKS)
async def list_organizations(call: Call) -> StreamResponse:
    """Every organization, with its members."""
    return _organizations(call)


def _organizations(call: Call, *, status: int = 200, wrong: str = "") -> Response:
    wanted = gate.wanted(call)
    with call.hub.store.view() as view:
        found = [each for each in view.scan(Organization) if wanted in each.name]
        part, pager = gate.paged(call, found)
        rows = [
            (each, organizations.members(view, each.name), view.count(Package, each.name))
            for each in part
        ]
    return gate.page(
        "organizations.html",
        status=status,
        found=rows,
        pager_of=pager,
        wanted=wanted,
        wrong=wrong,
        roles=organizations.ROLES,
    )


@routes.post("/organizations", allow=gate.CHANGES)
async def create_organization(call: Call) -> StreamResponse:
    """Make an organization, with its first administrator."""
    try:
        await call.hub.store.transact(
            organizations.create, call.origin, text(call, "name"), text(call, "admin"), call.now
        )
    except Invalid as error:
        return _organizations(call, status=422, wrong=gate.words(error.errors))
    return pages.redirect("/admin/organizations")


@routes.post("/organizations/{name}/members", allow=gate.CHANGES)
async def put_member(call: Call) -> StreamResponse:
    """Take somebody in, change a role, or let somebody go (`role` is empty)."""
    name, who, role = call.path["name"], text(call, "who"), text(call, "role")
    store, origin, now = call.hub.store, call.origin, call.now
    with store.view() as view:
        there = who in organizations.members(view, name)
    try:
        if not role:
            await store.revoke(organizations.remove_member, origin, name, who, now)
        elif there:
            await store.revoke(organizations.set_role, origin, name, who, role, now)
        else:
            await store.transact(organizations.add_member, origin, name, who, role, now)
    except Invalid as error:
        return _organizations(call, status=422, wrong=gate.words(error.errors) or str(error))
    return pages.redirect("/admin/organizations")
