"""What the operator does with accounts, keys and organizations.

JSON in, JSON out. Whoever may connect may do everything: the permission is that of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from aiohttp.web import StreamResponse

from cluster import View
from hexhub.domain import audit, keys, organizations, rules, users
from hexhub.errors import Invalid
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import Key, KeyUse, Organization, User
from hexhub.sites.operator.pipeline import OPERATOR, answer as _json, control

LINK_GOOD_FOR = timedelta(hours=24)


routes = Routes(control)


def _user(user: User) -> dict[str, object]:
    return {
        "username": user.username,
        "email": user.primary.address if user.primary else None,
        "admin": user.admin,
        "disabled": user.disabled,
        "password": user.password_hash is not None,
        "created_at": user.created_at,
    }


@routes.post("/users", allow=OPERATOR)
async def create_user(call: Call) -> StreamResponse:
    """Make a verified account; without a password, a link to set one."""
    body, hub = call.body, call.hub
    user = await hub.store.transact(
        users.create,
        audit.OPERATOR,
        body.get("name"),
        body.get("email"),
        await _hashed(call),
        call.now,
        verified=True,
        admin=body.get("admin") is True,
    )
    link = None if user.password_hash else await _password_link(call, user.username)
    return _json({"user": _user(user), "link": link}, 201)


@routes.get("/users", allow=OPERATOR)
async def list_users(call: Call) -> StreamResponse:
    """Every account."""
    with call.hub.store.view() as view:
        return _json([_user(user) for user in view.scan(User)])


@routes.post("/users/{name}/password", allow=OPERATOR)
async def set_password(call: Call) -> StreamResponse:
    """Set a password, or give a link to set one."""
    hub, name = call.hub, call.path["name"]
    hashed = await _hashed(call)
    if hashed is None:
        return _json({"link": await _password_link(call, name)})
    user = await hub.store.revoke(users.set_password, audit.OPERATOR, name, hashed, call.now)
    return _json({"user": _user(user), "link": None})


@routes.post("/users/{name}/disable", allow=OPERATOR)
async def disable_user(call: Call) -> StreamResponse:
    """Switch an account and all its keys off."""
    user = await call.hub.store.revoke(users.disable, audit.OPERATOR, call.path["name"], call.now)
    return _json({"user": _user(user)})


@routes.post("/users/{name}/enable", allow=OPERATOR)
async def enable_user(call: Call) -> StreamResponse:
    """Switch an account on again."""
    user = await call.hub.store.transact(users.enable, audit.OPERATOR, call.path["name"], call.now)
    return _json({"user": _user(user)})


@routes.post("/users/{name}/admin", allow=OPERATOR)
async def set_admin(call: Call) -> StreamResponse:
    """Give or take the rights of an administrator."""
    admin = call.body.get("admin") is not False
    user = await call.hub.store.revoke(
        users.set_admin, audit.OPERATOR, call.path["name"], admin, call.now
    )
    return _json({"user": _user(user)})


async def _hashed(call: Call) -> str | None:
    password = call.body.get("password")
    if password is None:
        return None
    rules.check({"password": rules.password(password)})
    return await call.hub.passwords.hash(str(password))


async def _password_link(call: Call, username: str) -> str:
    hub = call.hub
    token = hub.new_token()
    until = call.now + LINK_GOOD_FOR
    await hub.store.transact(
        users.add_link,
        audit.OPERATOR,
        hub.secret_hash(token),
        "password",
        username,
        until,
        call.now,
    )
    return f"{hub.url}/password/new?username={username.lower()}&key={token}"


def _owner(view: View, values: Mapping[str, object]) -> str:
    """`user:NAME` or `org:NAME` from the fields `user` or `org`."""
    if org := values.get("org"):
        return f"org:{organizations.find(view, str(org)).name}"
    if user := values.get("user"):
        return f"user:{users.find(view, str(user)).username}"
    raise Invalid({"user": "say whose key: a user or an organization"})


def _key(view: View, key: Key) -> dict[str, object]:
    use = view.get(KeyUse, key.lookup)
    return {
        "name": key.name,
        "permissions": [
            f"{p.domain}:{p.resource}" if p.resource else p.domain for p in key.permissions
        ],
        "revoke_at": key.revoke_at,
        "created_at": key.created_at,
        "used_at": use.used_at if use else None,
    }


@routes.post("/keys", allow=OPERATOR)
async def create_key(call: Call) -> StreamResponse:
    """Make a key; the only answer that shows its secret."""
    hub, body = call.hub, call.body
    with hub.store.view() as view:
        owner = _owner(view, body)
    secret = hub.new_secret()
    key = await hub.store.transact(
        keys.create,
        audit.OPERATOR,
        owner,
        body.get("name"),
        body.get("permissions"),
        _end(call.now, body.get("expires_s")),
        hub.secret_hash(secret),
        call.now,
    )
    with hub.store.view() as view:
        return _json({"key": _key(view, key), "secret": secret}, 201)


def _end(now: datetime, good_for_s: object) -> datetime | None:
    if not isinstance(good_for_s, int):
        return None
    try:
        return now + timedelta(seconds=good_for_s)
    except OverflowError:
        raise Invalid({"expires": "is too far away"}) from None


@routes.get("/keys", allow=OPERATOR)
async def list_keys(call: Call) -> StreamResponse:
    """Live keys of an owner."""
    with call.hub.store.view() as view:
        owner = _owner(view, call.query)
        return _json([_key(view, key) for key in keys.live(view, owner, call.now)])


@routes.delete("/keys/{name}", allow=OPERATOR)
async def revoke_key(call: Call) -> StreamResponse:
    """End a key."""
    with call.hub.store.view() as view:
        owner = _owner(view, call.query)
    key = await call.hub.store.revoke(
        keys.revoke, audit.OPERATOR, owner, call.path["name"], call.now
    )
    with call.hub.store.view() as view:
        return _json({"key": _key(view, key)})


@routes.post("/orgs", allow=OPERATOR)
async def create_organization(call: Call) -> StreamResponse:
    """Make an organization with its private repository."""
    admin = call.body.get("admin")
    if not isinstance(admin, str):
        raise Invalid({"admin": rules.BLANK})
    organization = await call.hub.store.transact(
        organizations.create, audit.OPERATOR, call.body.get("name"), admin, call.now
    )
    return _json({"name": organization.name}, 201)


@routes.get("/orgs", allow=OPERATOR)
async def list_organizations(call: Call) -> StreamResponse:
    """Every organization with its members."""
    with call.hub.store.view() as view:
        return _json(
            [
                {
                    "name": organization.name,
                    "members": organizations.members(view, organization.name),
                    "created_at": organization.created_at,
                }
                for organization in view.scan(Organization)
            ]
        )


@routes.get("/public-key", allow=OPERATOR)
async def public_key(call: Call) -> StreamResponse:
    """The hub's key and fingerprint."""
    return _json({"pem": call.hub.public_key_pem.decode(), "fingerprint": call.hub.fingerprint})
