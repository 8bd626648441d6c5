"""The e-mail addresses of an account: add, verify, choose, remove (http-api.md §3.2, §4.9)."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from cluster import Transaction
from hexhub.domain import audit, audited, mails, rules, users
from hexhub.domain.audit import Origin
from hexhub.errors import Invalid, NotFound
from hexhub.schema import Email, Link, User

ADDRESSES_MAX = 20
LINK_GOOD_FOR = timedelta(hours=24)
PURPOSE = "email"
IN_USE = "already in use"


def add(
    tx: Transaction,
    origin: Origin,
    username: str,
    address: object,
    now: datetime,
    *,
    verified: bool,
) -> User:
    """Add an address. Raises Invalid (field `email`)."""
    user = users.find(tx, username)
    address = address.strip().lower() if isinstance(address, str) else address
    rules.check({"email": rules.address(address)})
    assert isinstance(address, str)
    if any(email.address == address for email in user.emails):
        raise Invalid({"email": IN_USE})
    if users.find_by_address(tx, address):
        raise Invalid({"email": IN_USE})
    if len(user.emails) >= ADDRESSES_MAX:
        raise Invalid({"email": f"you have {ADDRESSES_MAX} addresses already"})
    mails.queue_for_users(tx, [user.username], "email_added", {"address": address}, now)
    changed = _put(tx, user, (*user.emails, Email(address=address, verified=verified)), now)
    audit.record(tx, origin, "email.add", audited.email(address), now, user=user.username)
    return changed


def ask_to_verify(
    tx: Transaction,
    origin: Origin,
    username: str,
    address: str,
    token_hash: str,
    link: str,
    now: datetime,
) -> None:
    """Send an unverified address its link; an earlier one is void. Raises NotFound."""
    user = users.find(tx, username)
    if _find(user, address).verified:
        return
    until = now + LINK_GOOD_FOR
    users.add_link(tx, origin, token_hash, PURPOSE, username, until, now, address=address)
    mails.queue(tx, address, "email_verification", {"link": link}, now)


def verify(tx: Transaction, token_hash: str, now: datetime) -> str:
    """Count an address as its owner's, by the link that was sent to it; the address.

    Raises NotFound for a link that is no longer good, Invalid when another has verified the address.
    """
    link = users.find_link(tx, token_hash, PURPOSE, now)
    user = users.find(tx, link.username)
    address = link.address or ""
    other = users.find_by_address(tx, address)
    if other is not None and other.username != user.username:
        raise Invalid({"email": IN_USE})
    tx.delete(link)
    _change(tx, user, address, now, verified=True)
    return address


def remove(tx: Transaction, origin: Origin, username: str, address: str, now: datetime) -> None:
    """Take an address away. Raises NotFound, Invalid for the primary one."""
    user = users.find(tx, username)
    found = _find(user, address)
    if found.primary:
        raise Invalid({"email": "choose another primary address first"})
    for link in list(tx.find(Link, "user", user.username, PURPOSE)):
        if link.address == address:
            tx.delete(link)
    _put(tx, user, tuple(email for email in user.emails if email != found), now)
    gone = audited.email(address, public=found.public)
    audit.record(tx, origin, "email.remove", gone, now, user=user.username)


def choose_primary(
    tx: Transaction, origin: Origin, username: str, address: str, now: datetime
) -> None:
    """The address that mails go to. It must be verified. Raises NotFound, Invalid."""
    user = users.find(tx, username)
    if not _find(user, address).verified:
        raise Invalid({"email": "verify the address first"})
    told = {"username": user.username, "address": address}
    mails.queue_for_users(tx, [user.username], "email_primary", told, now)
    _choose(tx, origin, user, address, "primary", now)


def choose_public(
    tx: Transaction, origin: Origin, username: str, address: str | None, now: datetime
) -> None:
    """The address that everybody may see; None for none. Raises NotFound, Invalid."""
    user = users.find(tx, username)
    if address is not None and not _find(user, address).verified:
        raise Invalid({"email": "verify the address first"})
    _choose(tx, origin, user, address, "public", now)


def _choose(
    tx: Transaction, origin: Origin, user: User, address: str | None, flag: str, now: datetime
) -> None:
    before = next((email for email in user.emails if getattr(email, flag)), None)
    chosen = tuple(
        msgspec.structs.replace(email, **{flag: email.address == address}) for email in user.emails
    )
    _put(tx, user, chosen, now)
    params: audit.Params = {
        "old_email": audited.email(before.address) if before else None,
        "new_email": audited.email(address) if address else None,
    }
    audit.record(tx, origin, f"email.{flag}", params, now, user=user.username)


def _find(user: User, address: str) -> Email:
    for email in user.emails:
        if email.address == address:
            return email
    raise NotFound


def _change(tx: Transaction, user: User, address: str, now: datetime, **fields: bool) -> User:
    _find(user, address)
    return _put(
        tx,
        user,
        tuple(
            msgspec.structs.replace(email, **fields) if email.address == address else email
            for email in user.emails
        ),
        now,
    )


def _put(tx: Transaction, user: User, emails: tuple[Email, ...], now: datetime) -> User:
    changed = msgspec.structs.replace(user, emails=emails, updated_at=now)
    tx.put(changed)
    return changed
