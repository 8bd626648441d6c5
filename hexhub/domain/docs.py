"""Documentation of releases: which archive belongs to which release (docs.md §2)."""

from __future__ import annotations

from datetime import datetime

import msgspec

from cluster import Transaction, View
from hexhub.domain import audit, audited, packages, permissions, releases
from hexhub.domain.audit import Origin
from hexhub.errors import NotFound
from hexhub.formats.version import Version
from hexhub.schema import Package, Release


def publish(
    tx: Transaction,
    origin: Origin,
    repository: str,
    name: str,
    version: str,
    checksum: bytes,
    now: datetime,
) -> Release:
    """Point a release to its docs archive; any number of times, with no window."""
    return _point(tx, origin, repository, name, version, checksum, now)


def delete(
    tx: Transaction, origin: Origin, repository: str, name: str, version: str, now: datetime
) -> Release:
    """Take the docs of a release away, if there are any."""
    return _point(tx, origin, repository, name, version, None, now)


def _point(
    tx: Transaction,
    origin: Origin,
    repository: str,
    name: str,
    version: str,
    checksum: bytes | None,
    now: datetime,
) -> Release:
    parsed = releases.parse_version(version)
    permissions.require_owner(tx, origin.actor, repository, name, "maintainer")
    package = tx.get(Package, repository, name)
    release = tx.get(Release, repository, name, str(parsed))
    if package is None or release is None:
        raise NotFound
    changed = msgspec.structs.replace(release, docs_checksum=checksum, updated_at=now)
    if release.docs_checksum != checksum:
        tx.put(changed)
        tx.put(msgspec.structs.replace(package, updated_at=now))
        action = "docs.publish" if checksum else "docs.revert"
        audit.record(tx, origin, action, audited.release(package, changed), now, package=package)
    return changed


def versions_with_docs(view: View, repository: str, name: str) -> list[Release]:
    """The releases of a package that have documentation, newest first by SemVer."""
    found = (each for each in view.scan(Release, repository, name) if each.has_docs)
    return sorted(found, key=lambda each: Version.parse(each.version), reverse=True)


def latest_with_docs(view: View, repository: str, name: str) -> Release | None:
    """The release whose documentation stands for the package: newest stable, else newest (docs.md §4)."""
    return packages.latest(versions_with_docs(view, repository, name))
