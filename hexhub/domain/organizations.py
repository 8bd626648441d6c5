"""Organizations and their members."""

from __future__ import annotations

from datetime import datetime

from cluster import Transaction, View
from hexhub.domain import audit, audited, rules, users
from hexhub.domain.audit import Origin
from hexhub.errors import Invalid, NotFound
from hexhub.schema import Member, Organization, User

ROLES = ("read", "write", "admin")
"""From the least to the greatest; each includes the ones before it."""


def find(view: View, name: str) -> Organization:
    """The organization of this name. Raises NotFound."""
    organization = view.get(Organization, name)
    if organization is None:
        raise NotFound
    return organization


def create(
    tx: Transaction, origin: Origin, name: object, admin: str, now: datetime
) -> Organization:
    """Make an organization with its private repository; `admin` becomes its first member."""
    name = name.lower() if isinstance(name, str) else name
    rules.check({"name": rules.organization_name(name)})
    assert isinstance(name, str)
    if tx.get(Organization, name) or tx.get(User, name):
        raise Invalid({"name": "has already been taken"})
    organization = Organization(name=name, created_at=now, updated_at=now)
    tx.put(organization)
    tx.put(Member(organization=name, username=users.find(tx, admin).username, role="admin"))
    audit.record(
        tx,
        origin,
        "organization.create",
        audited.organization(organization),
        now,
        organization=name,
    )
    return organization


def role_of(view: View, organization: str, username: str) -> str | None:
    """A user's role, or None for one who is no member."""
    member = view.get(Member, organization, username)
    return member.role if member else None


def includes(role: str | None, wanted: str) -> bool:
    """Whether a role is at least the wanted one."""
    return role is not None and ROLES.index(role) >= ROLES.index(wanted)


def members(view: View, name: str) -> dict[str, str]:
    """User name to role of every member."""
    return {member.username: member.role for member in view.scan(Member, name)}
