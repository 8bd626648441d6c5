"""Who owns a package (http-api.md §3.9, §4.3)."""

from __future__ import annotations

from datetime import datetime

from cluster import Transaction, View
from hexhub.domain import audit, audited, mails, organizations, packages, permissions, users
from hexhub.domain.actors import Actor
from hexhub.domain.audit import Origin
from hexhub.errors import Invalid, NotFound
from hexhub.schema import PUBLIC, Organization, Owner, Package, User

FULL, MAINTAINER = "full", "maintainer"


def all_of(view: View, package: Package) -> list[Owner]:
    """The owners of a package, by name."""
    return list(view.scan(Owner, package.repository, package.name))


def find(view: View, actor: Actor, repository: str, name: str, who: str) -> Owner:
    """One owner, by user name or public address. Raises NotFound."""
    package = packages.find(view, actor, repository, name)
    username = who if view.get(Organization, who) else users.find_public(view, who).username
    owner = view.get(Owner, package.repository, package.name, username)
    if owner is None:
        raise NotFound
    return owner


def put(
    tx: Transaction,
    origin: Origin,
    repository: str,
    name: str,
    who: str,
    level: object,
    *,
    transfer: bool,
    now: datetime,
    tell: bool = True,
) -> Owner:
    """Add an owner, change the level of one, or hand the package over (`transfer`).

    Without `level` an existing owner keeps theirs and a new one becomes `full`. `tell`: whether
    those concerned get a mail.
    """
    package = _writable(tx, origin.actor, repository, name)
    if level not in (None, FULL, MAINTAINER):
        raise Invalid({"level": "is invalid"})
    organization = tx.get(Organization, who)
    if organization is not None:
        _check_organization(level, transfer)
        username = organization.name
    else:
        username = users.find_public(tx, who).username
        _check_member(tx, repository, username)
    current = tx.get(Owner, repository, name, username)
    wanted = str(level or (current.level if current else FULL))
    others = [owner for owner in all_of(tx, package) if owner.username != username]
    kept = [] if transfer else others
    # A private package may never have had an owner; what has a full owner keeps one.
    must_have_full = repository == PUBLIC or any(
        owner.level == FULL for owner in all_of(tx, package)
    )
    # Also for a transfer to a maintainer: a package without a full owner cannot be managed.
    if wanted != FULL and must_have_full and not any(owner.level == FULL for owner in kept):
        raise Invalid({"username": "cannot demote the last full owner of a package"})
    if transfer:
        for owner in others:
            tx.delete(owner)
    owner = Owner(repository=repository, package=name, username=username, level=wanted)
    tx.put(owner)
    action = "owner.transfer" if transfer else "owner.add"
    _audit(tx, origin, action, package, owner, now)
    if tell and (current is None or transfer):
        told = [*(other.username for other in others), username]
        _tell(tx, told, "owner_added", owner, now)
    return owner


def remove(
    tx: Transaction, origin: Origin, repository: str, name: str, who: str, now: datetime
) -> None:
    """Take an owner away. A public package keeps a full owner."""
    package = _writable(tx, origin.actor, repository, name)
    username = who if tx.get(Organization, who) else _any_verified(tx, who)
    owner = tx.get(Owner, repository, name, username)
    if owner is None:
        raise Invalid({"username": "user is not an owner of package"})
    others = [other for other in all_of(tx, package) if other.username != username]
    if repository == PUBLIC and not others:
        raise Invalid({"username": "cannot remove last owner of package"})
    if repository == PUBLIC and not any(other.level == FULL for other in others):
        raise Invalid({"username": "cannot remove the last full owner of package"})
    tx.delete(owner)
    _audit(tx, origin, "owner.remove", package, owner, now)
    told = [*(other.username for other in others), username]
    _tell(tx, told, "owner_removed", owner, now)


def _tell(
    tx: Transaction, usernames: list[str], template: str, owner: Owner, now: datetime
) -> None:
    values = {
        "package": owner.package,
        "username": owner.username,
        "organization": "" if owner.repository == PUBLIC else owner.repository,
    }
    mails.queue_for_users(tx, usernames, template, values, now)


def _audit(
    tx: Transaction, origin: Origin, action: str, package: Package, owner: Owner, now: datetime
) -> None:
    user = tx.get(User, owner.username)
    who = audited.user(user) if user else {"username": owner.username}
    audit.record(tx, origin, action, audited.owner(package, owner.level, who), now, package=package)


def _writable(view: View, actor: Actor, repository: str, name: str) -> Package:
    permissions.require_owner(view, actor, repository, name, FULL)
    package = view.get(Package, repository, name)
    if package is None:
        raise NotFound
    return package


def _any_verified(view: View, who: str) -> str:
    """For removal any verified address will do, public or not."""
    if "@" not in who:
        return users.find(view, who).username
    user = users.find_by_address(view, who)
    if user is None:
        raise NotFound
    return user.username


def _check_organization(level: object, transfer: bool) -> None:
    if not transfer:
        raise Invalid(
            {
                "username": "organization ownership can only be transferred, "
                "removing all existing owners"
            }
        )
    if level not in (None, FULL):
        raise Invalid(
            {"level": 'ownership level is required to be "full" for organization ownership'}
        )


def _check_member(view: View, repository: str, username: str) -> None:
    if repository != PUBLIC and not organizations.role_of(view, repository, username):
        raise Invalid(
            {
                "username": "cannot add owner to private package when the user is not "
                "a member of the organization"
            }
        )
