"""What people change of their own account: profile, mails, password, and its end."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

import msgspec

from cluster import Transaction, View
from hexhub.domain import audit, audited, mails, organizations, owners, rules, users
from hexhub.domain.audit import Origin
from hexhub.errors import Errors, Invalid
from hexhub.schema import (
    PUBLIC,
    FormerUser,
    Key,
    KeyUse,
    Member,
    Owner,
    Package,
    TwoFactor,
    User,
)

HANDLES: Mapping[str, str] = {
    "X.com": "https://x.com/",
    "Bluesky": "https://bsky.app/profile/",
    "GitHub": "https://github.com/",
    "Elixir Forum": "https://elixirforum.com/u/",
    "Libera": "irc://irc.libera.chat/",
    "Slack": "https://elixir-lang.slack.com/team/",
}
"""The services whose handles are shown (http-api.md §3.0), and what their addresses begin with."""
HANDLE = re.compile(r"[A-Za-z0-9_.\-]{1,64}")


def handles(user: User) -> dict[str, str]:
    """A user's handles by service, as they were typed."""
    return {
        service: address.removeprefix(HANDLES[service])
        for service, address in user.handles.items()
        if service in HANDLES
    }


def update_profile(
    tx: Transaction,
    origin: Origin,
    username: str,
    full_name: str,
    typed: Mapping[str, str],
    now: datetime,
) -> User:
    """Change what others see. Raises Invalid (fields `full_name`, `handles`)."""
    full_name = full_name.strip()
    wrong: dict[str, Errors | str] = {
        service: "has invalid format"
        for service, handle in typed.items()
        if service in HANDLES and handle and not HANDLE.fullmatch(handle)
    }
    rules.check({"full_name": _full_name_problem(full_name), "handles": wrong or None})
    user = msgspec.structs.replace(
        users.find(tx, username),
        full_name=full_name or None,
        handles={
            service: HANDLES[service] + handle
            for service, handle in typed.items()
            if service in HANDLES and handle
        },
        updated_at=now,
    )
    tx.put(user)
    audit.record(tx, origin, "user.update", audited.user(user), now, user=user.username)
    return user


def _full_name_problem(name: str) -> str | None:
    """Names come into mails and pages: one line of a bounded length."""
    if len(name) > rules.NAME_LENGTH_MAX:
        return f"should be at most {rules.NAME_LENGTH_MAX} character(s)"
    return None if name.isprintable() else "has invalid format"


def choose_mails(
    tx: Transaction, origin: Origin, username: str, wanted: frozenset[str], now: datetime
) -> User:
    """Which of the optional mails a person gets."""
    user = users.find(tx, username)
    muted = tuple(sorted(mails.OPTIONAL - wanted))
    changed = msgspec.structs.replace(user, muted=muted, updated_at=now)
    tx.put(changed)
    params: audit.Params = {
        "old_preferences": {name: name not in user.muted for name in sorted(mails.OPTIONAL)},
        "new_preferences": {name: name not in muted for name in sorted(mails.OPTIONAL)},
        "changes": sorted(set(muted) ^ set(user.muted)),
    }
    audit.record(tx, origin, "email.options", params, now, user=user.username)
    return changed


def delete(tx: Transaction, origin: Origin, username: str, now: datetime) -> None:
    """End an account for good, with every credential of it. Nobody can take its name again.

    Raises Invalid (field `username`) where something would be left without anybody to look after it.
    """
    user = users.find(tx, username)
    if problem := _left_behind(tx, user):
        raise Invalid({"username": problem})
    mails.queue_for_users(tx, [user.username], "account_deleted", {"username": user.username}, now)
    users.end_credentials(tx, user.username, now)
    for key in list(tx.find(Key, "owner", f"user:{user.username}")):
        use = tx.get(KeyUse, key.lookup)
        if use is not None:
            tx.delete(use)
        tx.delete(key)
    for member in list(tx.find(Member, "user", user.username)):
        tx.delete(member)
    for owner in list(tx.find(Owner, "user", user.username)):
        tx.delete(owner)
    factor = tx.get(TwoFactor, user.username)
    if factor is not None:
        tx.delete(factor)
    tx.delete(user)
    tx.put(FormerUser(username=user.username, deleted_at=now))
    audit.record(tx, origin, "user.delete", audited.user(user), now, user=user.username)


def _left_behind(view: View, user: User) -> str | None:
    if user.admin and len(users.administrators(view)) == 1:
        return "you are the last administrator of this hub"
    for member in users.organizations(view, user.username):
        roles = organizations.members(view, member.organization)
        if member.role == "admin" and list(roles.values()).count("admin") == 1:
            return f"you are the last administrator of the organization {member.organization}"
    for owned in users.owned(view, user.username):
        package = view.get(Package, owned.repository, owned.package)
        if owned.repository != PUBLIC or owned.level != "full" or package is None:
            continue
        if [row.level for row in owners.all_of(view, package)].count("full") == 1:
            return f"you are the last full owner of the package {owned.package}"
    return None
