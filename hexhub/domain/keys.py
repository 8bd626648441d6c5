"""API keys: make, find, revoke (http-api.md §2.2, §3.10)."""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from cluster import Transaction, View
from hexhub.domain import audit, audited, mails, organizations, permissions, rules, users
from hexhub.domain.actors import Actor
from hexhub.domain.audit import Origin
from hexhub.errors import Errors, Invalid, NotFound
from hexhub.schema import PUBLIC, Key, KeyUse, Organization, Package, Permission

PERMISSIONS_MAX = 100
NAME_SIZE_MAX = 255
"""Bytes; names are part of an index, whose keys are bounded."""
RESOURCE_INVALID = "invalid resource for given domain"


def live(view: View, owner: str, now: datetime) -> list[Key]:
    """The keys of `user:NAME` or `org:NAME` that are not revoked, by name."""
    return [key for key in view.find(Key, "owner", owner) if not key.revoked(now)]


def find(view: View, owner: str, name: str, now: datetime) -> Key:
    """A live key by its owner and name. Raises NotFound."""
    for key in view.find(Key, "owner", owner, name):
        if not key.revoked(now):
            return key
    raise NotFound


def create(
    tx: Transaction,
    origin: Origin,
    owner: str,
    name: object,
    wanted: object,
    revoke_at: datetime | None,
    secret_hash: str,
    now: datetime,
) -> Key:
    """Make a key; a taken name gets a number. `secret_hash` is 64 hex digits.

    Raises Invalid (fields `name`, `permissions`, `revoke_at`).
    """
    problem = rules.text(name)
    if problem is None and len(str(name)) > rules.NAME_LENGTH_MAX:
        problem = f"should be at most {rules.NAME_LENGTH_MAX} character(s)"
    if problem is None and len(str(name).encode()) > NAME_SIZE_MAX:
        problem = f"should be at most {NAME_SIZE_MAX} byte(s)"
    rules.check(
        {
            "name": problem,
            "revoke_at": "must be in the future" if revoke_at and revoke_at <= now else None,
        }
    )
    key = Key(
        lookup=secret_hash[:32],
        verifier=secret_hash[32:],
        owner=owner,
        name=_free_name(tx, owner, str(name), now),
        permissions=_permissions(tx, owner, wanted),
        revoke_at=revoke_at,
        created_at=now,
        updated_at=now,
    )
    tx.put(key)
    _audit(tx, origin, "key.generate", key, now)
    _tell(tx, owner, "key_created", key.name, now)
    return key


def revoke(tx: Transaction, origin: Origin, owner: str, name: str, now: datetime) -> Key:
    """End one key. Raises NotFound."""
    key = end(tx, origin, find(tx, owner, name, now), now)
    _tell(tx, owner, "key_revoked", key.name, now)
    return key


def revoke_all(tx: Transaction, origin: Origin, owner: str, now: datetime) -> list[Key]:
    """End every live key of an owner; returns them, revoked."""
    ended = [end(tx, origin, key, now) for key in live(tx, owner, now)]
    if ended:
        _tell(tx, owner, "keys_revoked", "", now)
    return ended


def record_uses(tx: Transaction, uses: list[KeyUse]) -> None:
    """Keep the last use of each key that still exists."""
    for use in uses:
        if tx.get(Key, use.lookup) is not None:
            tx.put(use)


def end(tx: Transaction, origin: Origin, key: Key, now: datetime) -> Key:
    """Revoke this key, whoever owns it."""
    revoked = msgspec.structs.replace(key, revoke_at=now, updated_at=now)
    tx.put(revoked)
    _audit(tx, origin, "key.remove", revoked, now)
    return revoked


def _tell(tx: Transaction, owner: str, template: str, name: str, now: datetime) -> None:
    values = {"name": name, "owner": owner.partition(":")[2]}
    mails.queue_for_owner(tx, owner, template, values, now)


def _audit(tx: Transaction, origin: Origin, action: str, key: Key, now: datetime) -> None:
    kind, _, name = key.owner.partition(":")
    organization = name if kind == "org" else None
    audit.record(tx, origin, action, audited.key(key), now, organization=organization)


def _free_name(view: View, owner: str, name: str, now: datetime) -> str:
    taken = {key.name for key in live(view, owner, now)}
    if name not in taken:
        return name
    numbered = re.compile(re.escape(name) + r"-(\d{1,9})")
    numbers = [int(match[1]) for other in taken if (match := numbered.fullmatch(other))]
    return f"{name}-{max([1, *numbers]) + 1}"


def _permissions(view: View, owner: str, wanted: object) -> tuple[Permission, ...]:
    if wanted is None or wanted == []:
        return (Permission(domain="api"),)
    if not isinstance(wanted, list) or not all(isinstance(item, dict) for item in wanted):
        raise Invalid({"permissions": "expected type list(map)"})
    if len(wanted) > PERMISSIONS_MAX:
        raise Invalid({"permissions": f"should have at most {PERMISSIONS_MAX} item(s)"})
    return tuple(_permission(view, owner, item) for item in wanted)


def _permission(view: View, owner: str, item: dict[object, object]) -> Permission:
    domain, resource = item.get("domain"), item.get("resource")
    resource = None if resource == "" else resource
    if wrong := _shape_problem(domain, resource):
        raise Invalid({"permissions": wrong})
    assert isinstance(domain, str)
    assert resource is None or isinstance(resource, str)
    if domain == "package" and resource and "/" not in resource:
        resource = f"{PUBLIC}/{resource}"
    if problem := _access_problem(view, owner, domain, resource):
        raise Invalid({"permissions": {"resource": problem}})
    return Permission(domain=domain, resource=resource)


def _shape_problem(domain: object, resource: object) -> Errors | None:
    if problem := rules.text(domain):
        return {"domain": problem}
    if domain not in permissions.DOMAINS:
        return {"domain": "is invalid"}
    if resource is not None and rules.text(resource):
        return {"resource": "expected type string"}
    fits = {
        "api": resource in (None, "read", "write"),
        "repositories": resource is None,
    }.get(str(domain), resource is not None)
    return None if fits else {"resource": RESOURCE_INVALID}


def _access_problem(view: View, owner: str, domain: str, resource: str | None) -> str | None:
    """Whether the owner has what the key would give (http-api.md §3.10)."""
    kind, _, name = owner.partition(":")
    if domain in ("repository", "docs"):
        organization = str(resource)
        allowed = (
            organization == name
            if kind == "org"
            else view.get(Organization, organization) is not None
            and organizations.role_of(view, organization, name) is not None
        )
        return None if allowed else "you do not have access to this repository"
    if domain == "package":
        repository, _, package = str(resource).partition("/")
        actor = Actor(organization=name) if kind == "org" else Actor(user=users.find(view, name))
        allowed = view.get(Package, repository, package) is not None and permissions.is_owner(
            view, actor, repository, package, "maintainer"
        )
        return None if allowed else "you do not have access to this package"
    return None
