"""Organizations and their members."""

from __future__ import annotations

from datetime import datetime

import msgspec

from cluster import Transaction, View
from hexhub.domain import audit, audited, credentials, mails, rules, users
from hexhub.domain.audit import Origin
from hexhub.errors import Invalid, InvalidAsText, NotFound
from hexhub.schema import FormerUser, Member, Organization, Owner, User

ROLES = ("read", "write", "admin")
"""From the least to the greatest; each includes the ones before it."""

SEATS_MAX = 1_000_000


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
    if any(tx.get(record, name) for record in (Organization, User, FormerUser)):
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


def rows(view: View, name: str) -> list[Member]:
    """The members, by name."""
    return list(view.scan(Member, name))


def members(view: View, name: str) -> dict[str, str]:
    """User name to role of every member."""
    return {member.username: member.role for member in rows(view, name)}


def of_user(view: View, username: str) -> list[Organization]:
    """The organizations a user is a member of, by name."""
    names = sorted(member.organization for member in view.find(Member, "user", username))
    found = (view.get(Organization, name) for name in names)
    return [organization for organization in found if organization is not None]


def set_seats(
    tx: Transaction, origin: Origin, name: str, seats: object, now: datetime
) -> Organization:
    """Bound how many members there may be. Raises Invalid."""
    organization = find(tx, name)
    number = _whole_number(seats)
    if number is None or number < tx.count(Member, name):
        raise InvalidAsText("number of seats cannot be less than number of members")
    changed = msgspec.structs.replace(organization, seats=number, updated_at=now)
    tx.put(changed)
    params = audited.organization(changed) | {"seats": number}
    audit.record(tx, origin, "billing.change_seats", params, now, organization=name)
    return changed


def _whole_number(value: object) -> int | None:
    """An integer, or a text that is one; JSON's `true` is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:9])
    if isinstance(value, int) and not isinstance(value, bool) and value <= SEATS_MAX:
        return value
    return None


def find_member(view: View, name: str, who: str) -> tuple[User, str]:
    """A member by user name or public address, and the role. Raises NotFound."""
    user = users.find_public(view, who)
    role = role_of(view, name, user.username)
    if role is None:
        raise NotFound
    return user, role


def add_member(
    tx: Transaction, origin: Origin, name: str, who: object, role: object, now: datetime
) -> Member:
    """Take a user in. Raises Invalid with the texts of http-api.md §3.5."""
    organization = find(tx, name)
    user = _new_member(tx, who)
    if role_of(tx, name, user.username) is not None:
        raise Invalid({"user_id": "is already member"})
    rules.check({"role": _role_problem(role)})
    if organization.seats is not None and tx.count(Member, name) >= organization.seats:
        raise InvalidAsText("not enough seats to add member")
    member = Member(organization=name, username=user.username, role=str(role))
    tx.put(member)
    _audit(tx, origin, "organization.member.add", organization, user, member.role, now)
    values = {"organization": name}
    mails.queue_for_users(tx, [user.username], "member_added", values, now)
    return member


def _new_member(view: View, who: object) -> User:
    if not isinstance(who, str):
        raise Invalid({"name": "unknown user"})
    if view.get(Organization, who) is not None:
        raise InvalidAsText("cannot add an organization as member to an organization")
    try:
        return users.find_public(view, who)
    except NotFound:
        raise Invalid({"name": "unknown user"}) from None


def _role_problem(role: object) -> str | None:
    problem = rules.text(role)
    return problem or (None if role in ROLES else "is invalid")


def set_role(
    tx: Transaction, origin: Origin, name: str, who: str, role: object, now: datetime
) -> Member:
    """Change a member's role. Raises NotFound for an unknown user; Invalid.

    Whoever is the last administrator cannot be changed at all, as at hexpm.
    """
    organization, user = find(tx, name), users.find_public(tx, who)
    member = tx.get(Member, name, user.username)
    if member is None:
        raise InvalidAsText("unknown_user")
    admins = [one for one in tx.scan(Member, name) if one.role == "admin"]
    if [one.username for one in admins] == [user.username]:
        raise InvalidAsText("cannot demote last admin member")
    rules.check({"role": _role_problem(role)})
    changed = msgspec.structs.replace(member, role=str(role))
    if changed != member:
        tx.put(changed)
        _audit(tx, origin, "organization.member.role", organization, user, changed.role, now)
    return changed


def remove_member(tx: Transaction, origin: Origin, name: str, who: str, now: datetime) -> None:
    """Let a member go, and with them what they own in the private repository.

    Their keys and tokens grant nothing here from then on, also when they become a member again.
    Somebody who is no member is no error. Raises Invalid for the last one.
    """
    organization = find(tx, name)
    try:
        user = users.find_public(tx, who)
    except NotFound:
        return
    if tx.count(Member, name) == 1:
        raise InvalidAsText("cannot remove last member")
    member = tx.get(Member, name, user.username)
    if member is None:
        return
    tx.delete(member)
    for owner in list(tx.find(Owner, "user", user.username, name)):
        tx.delete(owner)
    credentials.forget_organization(tx, origin, user.username, name, now)
    _audit(tx, origin, "organization.member.remove", organization, user, None, now)


def _audit(
    tx: Transaction,
    origin: Origin,
    action: str,
    organization: Organization,
    user: User,
    role: str | None,
    now: datetime,
) -> None:
    params: audit.Params = {
        "organization": audited.organization(organization),
        "user": audited.user(user),
    }
    if role is not None:
        params["role"] = role
    audit.record(tx, origin, action, params, now, organization=organization.name)
