"""How much a repository may hold: bytes of its tarballs, and packages.

The sums stand in the quota's own row and move in the transaction that changes what they sum, so
that two publishes at once cannot both take the last place. A repository without a quota has no
such row, and pays nothing.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from cluster import Transaction, View
from hexhub.domain import audit, organizations
from hexhub.domain.audit import Origin
from hexhub.errors import Invalid, NotFound
from hexhub.schema import PUBLIC, Package, Quota, Release

BYTES_MAX = 1 << 50
PACKAGES_MAX = 1_000_000


def used(view: View, repository: str) -> tuple[int, int]:
    """Bytes of all tarballs of a repository and how many packages it has, counted anew."""
    size = sum(release.size for release in view.scan(Release, repository))
    return size, view.count(Package, repository)


def put(
    tx: Transaction, origin: Origin, repository: str, size: object, packages: object, now: datetime
) -> Quota:
    """Bound a repository; None for no bound of that kind. What is there already may stay.

    Raises NotFound, Invalid.
    """
    if repository != PUBLIC:
        organizations.find(tx, repository)
    problems = {
        "bytes": _problem(size, BYTES_MAX),
        "packages": _problem(packages, PACKAGES_MAX),
    }
    if size is None and packages is None:
        problems["bytes"] = "or packages must be given"
    if errors := {field: problem for field, problem in problems.items() if problem}:
        raise Invalid(errors)
    used_bytes, used_packages = used(tx, repository)
    quota = Quota(
        repository=repository,
        bytes=size if isinstance(size, int) else None,
        packages=packages if isinstance(packages, int) else None,
        used_bytes=used_bytes,
        used_packages=used_packages,
        updated_at=now,
    )
    tx.put(quota)
    _record(tx, origin, "quota.set", quota, now)
    return quota


def _problem(value: object, most: int) -> str | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        return f"must be a whole number from 0 to {most}"
    return None


def remove(tx: Transaction, origin: Origin, repository: str, now: datetime) -> None:
    """Take the bounds away. Raises NotFound."""
    quota = tx.get(Quota, repository)
    if quota is None:
        raise NotFound(f"{repository} has no quota")
    tx.delete(quota)
    _record(tx, origin, "quota.remove", quota, now)


def _record(tx: Transaction, origin: Origin, action: str, quota: Quota, now: datetime) -> None:
    params: audit.Params = {
        "repository": quota.repository,
        "bytes": quota.bytes,
        "packages": quota.packages,
    }
    organization = None if quota.repository == PUBLIC else quota.repository
    audit.record(tx, origin, action, params, now, organization=organization)


def check(view: View, repository: str, *, size: int, new_package: bool) -> None:
    """Whether so many bytes more still fit, and a package. Raises Invalid."""
    quota = view.get(Quota, repository)
    if quota is None:
        return
    if new_package and quota.packages is not None and quota.used_packages >= quota.packages:
        raise Invalid(
            {
                "quota": f"{repository} may have {quota.packages} packages and has "
                f"{quota.used_packages}; ask an administrator of this hub for more"
            }
        )
    if size > 0 and quota.bytes is not None and quota.used_bytes + size > quota.bytes:
        raise Invalid(
            {
                "quota": f"{repository} may hold {quota.bytes} bytes and holds {quota.used_bytes}: "
                f"{size} more do not fit; ask an administrator of this hub for more"
            }
        )


def charge(tx: Transaction, repository: str, *, size: int = 0, packages: int = 0) -> None:
    """Count what came (or went, below 0), where it is counted."""
    quota = tx.get(Quota, repository)
    if quota is not None:
        tx.put(
            msgspec.structs.replace(
                quota,
                used_bytes=max(0, quota.used_bytes + size),
                used_packages=max(0, quota.used_packages + packages),
            )
        )
