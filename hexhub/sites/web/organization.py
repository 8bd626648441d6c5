"""The pages of an organization: its packages, members, keys and what happened there.

Only members see them; what changes something needs its role `admin`, and the domain asks for it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from aiohttp.web import Response, StreamResponse

from hexhub.domain import audit, keys, organizations, permissions, policies, users
from hexhub.errors import Forbidden, Invalid, NotFound
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import KeyUse, Member, Organization, Policy, Quota
from hexhub.search import Query
from hexhub.sites.web import history, pages, policy_form
from hexhub.sites.web.account import CONFIRMED, PERSON, forms, text

if TYPE_CHECKING:
    from cluster import View

contested = Routes(forms)
routes = Routes(forms)

TABS = ("packages", "members", "keys", "policies", "audit")
ROLES = ("read", "write", "admin")
LIFETIMES = ("", "30", "90", "365")


@contested.get("/orgs", allow=PERSON)
async def mine(call: Call) -> StreamResponse:
    """The organizations that the reader is in."""
    return _mine(call)


def _mine(call: Call, *, status: int = 200, wrong: str = "") -> Response:
    with call.hub.store.view() as view:
        found = users.organizations(view, call.actor.name or "")
        counts = {each.organization: view.count(Member, each.organization) for each in found}
    return pages.page("organizations.html", status=status, found=found, counts=counts, wrong=wrong)


@routes.post("/orgs", allow=PERSON)
async def create(call: Call) -> StreamResponse:
    """Make an organization, which the maker administers."""
    try:
        made = await call.hub.store.transact(
            organizations.create,
            call.origin,
            text(call, "name"),
            call.actor.name or "",
            call.now,
        )
    except Invalid as error:
        return _mine(call, status=422, wrong=_words(error))
    return pages.redirect(f"/orgs/{made.name}?show=members")


@contested.get("/orgs/{name}", allow=PERSON)
async def show(call: Call) -> StreamResponse:
    """The packages, or what `show` names."""
    return await _page(call)


@routes.get("/orgs/{name}/manage", allow=CONFIRMED)
async def back(call: Call) -> StreamResponse:
    """Where one lands after giving the password again."""
    return pages.redirect(f"/orgs/{_found(call).name}?show=members")


def _found(call: Call) -> Organization:
    """The organization of the path. Raises NotFound for one the reader is not in."""
    name = call.path["name"].lower()
    with call.hub.store.view() as view:
        if not permissions.has_role(view, call.actor, name, "read"):
            raise NotFound
        return organizations.find(view, name)


def _administered(call: Call) -> Organization:
    """The same, for who may change it. Raises NotFound, Forbidden."""
    found = _found(call)
    with call.hub.store.view() as view:
        if not permissions.has_role(view, call.actor, found.name, "admin"):
            raise Forbidden("Only administrators of the organization may change it.")
    return found


async def _page(
    call: Call,
    *,
    tab: str | None = None,
    wrong: str = "",
    made: object = None,
    form: policy_form.Form | None = None,
    status: int = 200,
) -> Response:
    found, hub = _found(call), call.hub
    chosen = tab or str(call.query.get("show", "packages"))
    listed = await hub.catalogue.find([found.name], Query(), "name", call.now.date())
    with hub.store.view() as view:
        role = organizations.role_of(view, found.name, call.actor.name or "")
        shown = _keys(view, call, found) if role == "admin" else []
        records = (
            history.read(call, lambda page: audit.of_organization(view, found, page))
            if chosen == "audit"
            else None
        )
        known = policies.all_of(view, found.name)
        members = sorted(organizations.members(view, found.name).items())
        quota = view.get(Quota, found.name)
    return pages.page(
        "organization.html",
        status=status,
        organization=found,
        tab=chosen if chosen in TABS else "packages",
        role=role,
        roles=ROLES,
        listed=listed,
        members=members,
        quota=quota,
        keys=shown,
        records=records,
        lifetimes=LIFETIMES,
        wrong=wrong,
        made=made,
        policies=known,
        form=form or _form(call, found, known),
        severities=policies.SEVERITIES,
        reasons=policies.REASONS,
        actions=policies.ACTIONS,
    )


def _form(call: Call, found: Organization, known: list[Policy]) -> policy_form.Form:
    """The form of a policy: of the one that is to be changed, or an empty one."""
    wanted = str(call.query.get("policy", ""))
    return policy_form.of(next((one for one in known if one.name == wanted), None), found.name)


def _keys(view: View, call: Call, found: Organization) -> list[dict[str, object]]:
    return [
        {"key": key, "use": view.get(KeyUse, key.lookup)}
        for key in keys.live(view, f"org:{found.name}", call.now)
    ]


def _words(error: Invalid) -> str:
    """What is wrong, as one sentence."""
    parts = [f"{field}: {words}" for field, words in error.errors.items()]
    return "; ".join(parts) or str(error)


@routes.post("/orgs/{name}/members", allow=CONFIRMED)
async def add_member(call: Call) -> StreamResponse:
    """Take somebody in."""
    found = _administered(call)
    try:
        await call.hub.store.transact(
            organizations.add_member,
            call.origin,
            found.name,
            text(call, "who"),
            text(call, "role"),
            call.now,
        )
    except Invalid as error:
        return await _page(call, tab="members", wrong=_words(error), status=422)
    return pages.redirect(f"/orgs/{found.name}?show=members")


@routes.post("/orgs/{name}/members/{who}", allow=CONFIRMED)
async def change_member(call: Call) -> StreamResponse:
    """Change a role, or let somebody go (`role` is empty)."""
    found, who, role = _administered(call), call.path["who"], text(call, "role")
    revoke = call.hub.store.revoke
    try:
        if role:
            await revoke(organizations.set_role, call.origin, found.name, who, role, call.now)
        else:
            await revoke(organizations.remove_member, call.origin, found.name, who, call.now)
    except Invalid as error:
        return await _page(call, tab="members", wrong=_words(error), status=422)
    return pages.redirect(f"/orgs/{found.name}?show=members")


@routes.post("/orgs/{name}/keys", allow=CONFIRMED)
async def make_key(call: Call) -> StreamResponse:
    """Make a key of the organization; the only page that shows its secret."""
    found, hub, secret = _administered(call), call.hub, call.hub.new_secret()
    days = text(call, "days") if text(call, "days") in LIFETIMES else ""
    wanted = [{"domain": "repository", "resource": found.name}]
    if text(call, "may") == "write":
        wanted = [{"domain": "api", "resource": "write"}, *wanted]
    try:
        key = await hub.store.transact(
            keys.create,
            call.origin,
            f"org:{found.name}",
            text(call, "key"),
            wanted,
            call.now + timedelta(days=int(days)) if days else None,
            hub.secret_hash(secret),
            call.now,
        )
    except Invalid as error:
        return await _page(call, tab="keys", wrong=_words(error), status=422)
    return await _page(call, tab="keys", made={"name": key.name, "secret": secret})


@routes.post("/orgs/{name}/keys/revoke", allow=CONFIRMED)
async def revoke_key(call: Call) -> StreamResponse:
    """End a key of the organization."""
    found = _administered(call)
    await call.hub.store.revoke(
        keys.revoke, call.origin, f"org:{found.name}", text(call, "key"), call.now
    )
    return pages.redirect(f"/orgs/{found.name}?show=keys")


@routes.post("/orgs/{name}/policies", allow=CONFIRMED)
async def put_policy(call: Call) -> StreamResponse:
    """Make a policy, or change it."""
    found = _administered(call)
    form = policy_form.typed(call, found.name)
    try:
        given = policy_form.given(form)
        await call.hub.store.transact(
            policies.put, call.origin, found.name, form.name, given, call.now
        )
    except Invalid as error:
        wrong = policy_form.words(error.errors)
        return await _page(call, tab="policies", wrong=wrong, form=form, status=422)
    return pages.redirect(f"/orgs/{found.name}?show=policies")


@routes.post("/orgs/{name}/policies/delete", allow=CONFIRMED)
async def delete_policy(call: Call) -> StreamResponse:
    """Take a policy away."""
    found = _administered(call)
    await call.hub.store.transact(
        policies.delete, call.origin, found.name, text(call, "policy"), call.now
    )
    return pages.redirect(f"/orgs/{found.name}?show=policies")
