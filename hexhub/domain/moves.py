"""Packages that move from one repository to another, with everything of theirs."""

from __future__ import annotations

from datetime import datetime

import msgspec

from cluster import Record, Transaction, View
from hexhub.domain import audit, audited, organizations, quotas
from hexhub.domain.audit import Origin
from hexhub.errors import Invalid, NotFound
from hexhub.schema import PUBLIC, Downloads, Member, Owner, Package, Release, Removed


def move(
    tx: Transaction, origin: Origin, repository: str, name: str, target: str, now: datetime
) -> Package:
    """Move a package to another repository. Raises NotFound, Invalid.

    What depends on it would look for it in vain, so it must not be depended on; nor may it depend
    on what its new readers cannot see. Owners who are no members there are left behind.
    """
    package = tx.get(Package, repository, name)
    if package is None:
        raise NotFound
    if target != PUBLIC:
        organizations.find(tx, target)
    _check(tx, repository, name, target)
    moved = msgspec.structs.replace(package, repository=target, updated_at=now)
    rows: list[Record] = [
        *tx.scan(Release, repository, name),
        *tx.scan(Downloads, repository, name),
        *(
            owner
            for owner in tx.scan(Owner, repository, name)
            if target == PUBLIC or tx.get(Member, target, owner.username)
        ),
    ]
    for gone in (*rows, *tx.scan(Owner, repository, name), package):
        tx.delete(gone)
    tx.put(moved)
    size = sum(row.size for row in rows if isinstance(row, Release))
    quotas.charge(tx, repository, size=-size, packages=-1)
    quotas.charge(tx, target, size=size, packages=1)
    for row in rows:
        tx.put(msgspec.structs.replace(row, repository=target))
    if target == PUBLIC and tx.count(Owner, PUBLIC, name) == 0:
        tx.put(Owner(repository=PUBLIC, package=name, username=repository))
    params = {"package": audited.package(moved), "from": repository, "to": target}
    audit.record(tx, origin, "package.move", params, now, package=package)
    audit.record(tx, origin, "package.move", params, now, package=moved)
    return moved


def _check(view: View, repository: str, name: str, target: str) -> None:
    if view.get(Package, target, name) is not None:
        raise Invalid({"name": "has already been taken"})
    if view.get(Removed, target, name, "") is not None:
        raise Invalid({"name": "is reserved"})
    dependants = {
        f"{each.repository}/{each.package}"
        for each in view.find(Release, "requires", f"{repository}/{name}")
        if (each.repository, each.package) != (repository, name)
    }
    if dependants:
        listed = ", ".join(sorted(dependants)[:10])
        raise Invalid({"name": f"other packages depend on it: {listed}"})
    unseen = {
        f"{one.repository}/{one.package}"
        for release in view.scan(Release, repository, name)
        for one in release.requirements
        if one.repository not in (PUBLIC, target)
    }
    if unseen:
        raise Invalid({"name": f"depends on private packages: {', '.join(sorted(unseen)[:10])}"})
