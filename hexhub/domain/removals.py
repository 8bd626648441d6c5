"""What an administrator takes away for good: releases, packages, organizations.

A removed name stays reserved, and so does a removed version. What is removed names the objects
that every node erases (hexhub/eraser.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cluster import Transaction, View
from hexhub.domain import audit, audited, mails, objects, organizations, quotas, releases, rules
from hexhub.domain.audit import Origin
from hexhub.errors import Invalid, NotFound
from hexhub.schema import (
    PUBLIC,
    Downloads,
    FormerUser,
    Key,
    Member,
    Organization,
    Owner,
    Package,
    Policy,
    Quota,
    Release,
    Removed,
    Rule,
)

REASON_LENGTH_MAX = 1_000


def remove_release(
    tx: Transaction,
    origin: Origin,
    repository: str,
    name: str,
    version: str,
    reason: object,
    now: datetime,
) -> None:
    """Take one release away; the package goes with its last one. Raises NotFound, Invalid."""
    package, said = _package(tx, repository, name), _reason(reason)
    release = tx.get(Release, repository, name, str(releases.parse_version(version)))
    if release is None:
        raise NotFound
    if sum(1 for _ in tx.scan(Release, repository, name)) == 1:
        remove_package(tx, origin, repository, name, reason, now)
        return
    _delete_release(tx, release)
    tx.put(_removed(repository, name, release.version, said, now, objects.of(release)))
    params = audited.release(package, release) | {"reason": said}
    audit.record(tx, origin, "release.remove", params, now, package=package)
    _tell(tx, package, release.version, said, now)


def remove_package(
    tx: Transaction, origin: Origin, repository: str, name: str, reason: object, now: datetime
) -> None:
    """Take a package away with everything of it. Raises NotFound, Invalid."""
    package, said = _package(tx, repository, name), _reason(reason)
    _tell(tx, package, "", said, now)
    held: list[bytes] = []
    for release in list(tx.scan(Release, repository, name)):
        held += objects.of(release)
        _delete_release(tx, release)
    for owner in list(tx.scan(Owner, repository, name)):
        tx.delete(owner)
    tx.delete(package)
    quotas.charge(tx, repository, packages=-1)
    tx.put(_removed(repository, name, "", said, now, tuple(held)))
    params = {"package": audited.package(package), "reason": said}
    audit.record(tx, origin, "package.remove", params, now, package=package)


def _package(view: View, repository: str, name: str) -> Package:
    package = view.get(Package, repository, name)
    if package is None:
        raise NotFound
    return package


def _reason(reason: object) -> str:
    problem = rules.text(reason)
    if problem is None and len(str(reason)) > REASON_LENGTH_MAX:
        problem = f"should be at most {REASON_LENGTH_MAX} character(s)"
    rules.check({"reason": problem})
    return str(reason)


def _removed(
    repository: str, name: str, version: str, reason: str, now: datetime, held: tuple[bytes, ...]
) -> Removed:
    return Removed(
        repository=repository,
        package=name,
        version=version,
        reason=reason,
        objects=held,
        removed_at=now,
    )


def _delete_release(tx: Transaction, release: Release) -> None:
    counted = tx.scan(Downloads, release.repository, release.package, release.version)
    for row in list(counted):
        tx.delete(row)
    tx.delete(release)
    quotas.charge(tx, release.repository, size=-release.size)


def _tell(tx: Transaction, package: Package, version: str, reason: str, now: datetime) -> None:
    owners = [owner.username for owner in tx.scan(Owner, package.repository, package.name)]
    values = {"package": package.name, "version": version, "reason": reason}
    mails.queue_for_users(tx, owners, "package_removed", values, now)


@dataclass(frozen=True, slots=True)
class Extent:
    """What goes when an organization goes."""

    packages: tuple[str, ...]
    members: tuple[str, ...]
    keys: int
    policies: int
    left_without_owner: tuple[str, ...]
    """Public packages that only the organization owns: they must be handed over first."""


def extent(view: View, name: str) -> Extent:
    """What the removal of an organization would take away. Raises NotFound."""
    organizations.find(view, name)
    owned = [owner for owner in view.find(Owner, "user", name) if owner.repository == PUBLIC]
    return Extent(
        packages=tuple(package.name for package in view.scan(Package, name)),
        members=tuple(member.username for member in view.scan(Member, name)),
        keys=sum(1 for _ in view.find(Key, "owner", f"org:{name}")),
        policies=view.count(Policy, name),
        left_without_owner=tuple(
            owner.package
            for owner in owned
            if view.count(Owner, owner.repository, owner.package) == 1
        ),
    )


def remove_organization(
    tx: Transaction, origin: Origin, name: str, reason: object, now: datetime
) -> None:
    """Take an organization away, once its packages are gone. Raises NotFound, Invalid."""
    organization, said = organizations.find(tx, name), _reason(reason)
    there = extent(tx, name)
    if there.left_without_owner:
        listed = ", ".join(there.left_without_owner[:10])
        raise Invalid({"organization": f"is the only owner of public packages: {listed}"})
    if there.packages:
        raise Invalid({"organization": "still has packages"})
    rows: list[Member | Key | Policy | Rule | Owner | Organization] = [organization]
    rows += tx.scan(Member, name)
    rows += tx.find(Key, "owner", f"org:{name}")
    rows += tx.scan(Policy, name)
    rows += tx.scan(Rule, name)
    rows += tx.find(Owner, "user", name)
    if (quota := tx.get(Quota, name)) is not None:
        tx.delete(quota)
    for row in rows:
        tx.delete(row)
    tx.put(FormerUser(username=name, deleted_at=now))
    params = {"organization": audited.organization(organization), "reason": said}
    audit.record(tx, origin, "organization.delete", params, now, organization=name)
