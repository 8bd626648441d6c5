"""Accounts of people: make, find, change, switch off."""

from __future__ import annotations

from datetime import datetime

import msgspec

from cluster import Transaction, View
from hexhub.domain import audit, audited, mails, rules, sessions
from hexhub.domain.audit import Origin
from hexhub.errors import Invalid, NotFound
from hexhub.schema import Email, FormerUser, Key, Link, Member, Organization, Owner, User


def find(view: View, username: str) -> User:
    """The account of this name, in any case. Raises NotFound."""
    user = view.get(User, username.lower())
    if user is None:
        raise NotFound
    return user


def find_by_address(view: View, address: str) -> User | None:
    """The account that has verified this address."""
    return next(view.find(User, "email", address.lower()), None)


def find_public(view: View, name_or_address: str) -> User:
    """By user name, or by an address that is verified and public (http-api.md §3.2)."""
    if "@" not in name_or_address:
        return find(view, name_or_address)
    user = find_by_address(view, name_or_address)
    if user is None or user.public_address != name_or_address.lower():
        raise NotFound
    return user


def organizations(view: View, username: str) -> list[Member]:
    """The organizations a user is a member of, by name."""
    return list(view.find(Member, "user", username))


def create(
    tx: Transaction,
    origin: Origin,
    username: object,
    address: object,
    password_hash: str | None,
    now: datetime,
    *,
    verified: bool,
    admin: bool = False,
    full_name: str | None = None,
) -> User:
    """Make an account. Raises Invalid with the fields of http-api.md §3.2."""
    username = username.lower() if isinstance(username, str) else username
    address = address.lower() if isinstance(address, str) else address
    problem = rules.address(address)
    rules.check(
        {
            "username": rules.username(username),
            "emails": problem if problem in (None, rules.BLANK) else {"email": problem},
        }
    )
    assert isinstance(username, str)
    assert isinstance(address, str)
    if any(tx.get(record, username) for record in (User, Organization, FormerUser)):
        raise Invalid({"username": "has already been taken"})
    if find_by_address(tx, address):
        raise Invalid({"emails": {"email": "already in use"}})
    user = User(
        username=username,
        emails=(Email(address=address, verified=verified, primary=True, public=True),),
        password_hash=password_hash,
        full_name=full_name,
        admin=admin,
        created_at=now,
        updated_at=now,
    )
    tx.put(user)
    _audit(tx, origin, "user.create", user, now)
    added = audited.email(address, primary=True, public=True)
    audit.record(tx, origin, "email.add", added, now, user=username)
    chosen = {"old_email": None, "new_email": added}
    for action in ("email.primary", "email.public"):
        audit.record(tx, origin, action, chosen, now, user=username)
    return user


def set_password(
    tx: Transaction,
    origin: Origin,
    username: str,
    password_hash: str,
    now: datetime,
    *,
    keep: str | None = None,
) -> User:
    """Replace the password, and end every session but the one to `keep`: the old may be known."""
    user = _change(tx, username, now, password_hash=password_hash)
    sessions.end_all(tx, f"user:{user.username}", now, but=keep)
    audit.record(tx, origin, "password.update", {}, now, user=user.username)
    _tell_password_changed(tx, user, now)
    return user


def set_admin(tx: Transaction, origin: Origin, username: str, admin: bool, now: datetime) -> User:
    """Give or take the rights of an administrator. The last one keeps them."""
    if not admin and find(tx, username).admin and len(administrators(tx)) == 1:
        raise Invalid({"admin": "cannot remove the last administrator"})
    user = _change(tx, username, now, admin=admin)
    params = audited.user(user) | {"admin": admin}
    audit.record(tx, origin, "user.update", params, now, user=user.username)
    return user


def disable(tx: Transaction, origin: Origin, username: str, now: datetime) -> User:
    """Switch an account off and end every credential of it in the same transaction."""
    user = find(tx, username)
    if user.admin and len(administrators(tx)) == 1:
        raise Invalid({"username": "cannot disable the last administrator"})
    end_credentials(tx, user.username, now)
    return _set_disabled(tx, origin, user.username, True, now)


def end_credentials(tx: Transaction, username: str, now: datetime) -> None:
    """End every key, session, token, link and pending device code of a user (design §4.3)."""
    owner = f"user:{username}"
    for key in list(tx.find(Key, "owner", owner)):
        if not key.revoked(now):
            tx.put(msgspec.structs.replace(key, revoke_at=now, updated_at=now))
    sessions.end_all(tx, owner, now)
    for link in list(tx.find(Link, "user", username)):
        tx.delete(link)


def enable(tx: Transaction, origin: Origin, username: str, now: datetime) -> User:
    """Switch an account on again. Its keys stay revoked."""
    return _set_disabled(tx, origin, username, False, now)


def _set_disabled(
    tx: Transaction, origin: Origin, username: str, disabled: bool, now: datetime
) -> User:
    user = _change(tx, username, now, disabled=disabled)
    params = audited.user(user) | {"disabled": disabled}
    audit.record(tx, origin, "user.update", params, now, user=user.username)
    return user


def administrators(view: View) -> list[User]:
    """Every account that may administer this hub and is not disabled."""
    return [user for user in view.scan(User) if user.admin and not user.disabled]


def owned(view: View, username: str) -> list[Owner]:
    """The packages this user owns."""
    return list(view.find(Owner, "user", username))


def add_link(
    tx: Transaction,
    origin: Origin,
    token_hash: str,
    purpose: str,
    username: str,
    expires_at: datetime,
    now: datetime,
    *,
    address: str | None = None,
) -> None:
    """Remember a one-time link; an earlier one for the same purpose and address is void."""
    user = find(tx, username)
    if purpose == "password":
        audit.record(tx, origin, "password.reset.init", {}, now, user=user.username)
    for link in list(tx.find(Link, "user", user.username, purpose)):
        if link.address == address:
            tx.delete(link)
    tx.put(
        Link(
            token_hash=token_hash,
            purpose=purpose,
            username=user.username,
            address=address,
            expires_at=expires_at,
        )
    )


def find_link(view: View, token_hash: str, purpose: str, now: datetime) -> Link:
    """A link that is still good. Raises NotFound."""
    link = view.get(Link, token_hash)
    if link is None or link.purpose != purpose or link.expires_at <= now:
        raise NotFound("This link is no longer valid")
    return link


def use_password_link(
    tx: Transaction, origin: Origin, token_hash: str, password_hash: str, now: datetime
) -> User:
    """Set the password by a one-time link, which is gone afterwards."""
    link = find_link(tx, token_hash, "password", now)
    tx.delete(link)
    # Whoever knew the old password may be signed in with it.
    sessions.end_all(tx, f"user:{link.username}", now)
    user = _change(tx, link.username, now, password_hash=password_hash)
    audit.record(tx, origin, "password.reset.finish", {}, now, user=user.username)
    _tell_password_changed(tx, user, now)
    return user


def create_first_administrator(
    tx: Transaction,
    origin: Origin,
    username: object,
    address: object,
    password_hash: str,
    now: datetime,
) -> User:
    """Make the first administrator; refused when there is one."""
    if administrators(tx):
        raise NotFound("This hub already has an administrator")
    return create(tx, origin, username, address, password_hash, now, verified=True, admin=True)


def _audit(tx: Transaction, origin: Origin, action: str, user: User, now: datetime) -> None:
    audit.record(tx, origin, action, audited.user(user), now, user=user.username)


def _tell_password_changed(tx: Transaction, user: User, now: datetime) -> None:
    values = {"username": user.username}
    mails.queue_for_users(tx, [user.username], "password_changed", values, now)


def _change(tx: Transaction, username: str, now: datetime, **fields: object) -> User:
    user = msgspec.structs.replace(find(tx, username), updated_at=now, **fields)
    tx.put(user)
    return user
