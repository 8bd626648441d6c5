"""Security advisories: kept from OSV exports, shown with the packages they are about.

To import one is to touch its packages: their resources and pages are made anew (registry.md §4).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

import msgspec

from cluster import Transaction, View
from hexhub.domain import audit
from hexhub.domain.audit import Origin
from hexhub.errors import Malformed
from hexhub.formats import osv, registry as wire
from hexhub.formats.version import Version
from hexhub.schema import (
    PUBLIC,
    Advisory,
    AdvisoryRange,
    AffectedPackage,
    Package,
    Reference,
    Release,
)

API_URL = "https://api.osv.dev/v1/vulns/"
HTML_URL = "https://osv.dev/vulnerability/"


def put(tx: Transaction, origin: Origin, entries: Sequence[osv.Entry], now: datetime) -> list[str]:
    """Keep advisories; returns the ids of those that are new or changed."""
    changed: list[str] = []
    touched: set[tuple[str, str]] = set()
    for entry in entries:
        row = _row(entry)
        before = tx.get(Advisory, row.id)
        if before == row or not row.affected:
            continue
        tx.put(row)
        changed.append(row.id)
        for one in (*row.affected, *(before.affected if before else ())):
            touched.add((one.repository, one.package))
    for repository, name in touched:
        package = tx.get(Package, repository, name)
        if package is not None:
            tx.put(msgspec.structs.replace(package, updated_at=now))
    if changed:
        audit.record(tx, origin, "advisory.import", {"ids": changed}, now)
    return changed


def _row(entry: osv.Entry) -> Advisory:
    return Advisory(
        id=entry.id,
        summary=entry.summary,
        aliases=entry.aliases,
        published_at=entry.published_at,
        modified_at=entry.modified_at,
        withdrawn_at=entry.withdrawn_at,
        cvss_vector=entry.vector,
        cvss_score=entry.score,
        cvss_rating=entry.rating,
        references=tuple(Reference(type=kind, url=url) for kind, url in entry.references),
        affected=tuple(
            AffectedPackage(
                repository=one.repository,
                package=one.package,
                ranges=tuple(
                    AdvisoryRange(introduced=each.introduced, fixed=each.fixed, last=each.last)
                    for each in one.ranges
                ),
                versions=one.versions,
            )
            for one in entry.affected
        ),
    )


def everything(view: View) -> list[Advisory]:
    """Every advisory that is kept, by id."""
    return list(view.scan(Advisory))


def of_package(view: View, repository: str, name: str) -> list[Advisory]:
    """The advisories about a package that are not withdrawn, by id."""
    found = view.find(Advisory, "package", f"{repository}/{name}")
    return [row for row in found if row.withdrawn_at is None]


def affects(row: Advisory, release: Release) -> bool:
    """Whether a release is among the versions that an advisory names."""
    return affects_version(row, release.repository, release.package, release.version)


def affects_version(row: Advisory, repository: str, package: str, version: str) -> bool:
    """As `affects`, for a release that is no row here. Raises Malformed for no version."""
    parsed = Version.parse(version)
    return any(
        version in one.versions or any(_within(parsed, each) for each in one.ranges)
        for one in _about(row, repository, package)
    )


def _about(row: Advisory, repository: str, package: str) -> Iterable[AffectedPackage]:
    return (one for one in row.affected if (one.repository, one.package) == (repository, package))


def _within(version: Version, range: AdvisoryRange) -> bool:
    if range.introduced is not None and version < Version.parse(range.introduced):
        return False
    if range.fixed is not None and not version < Version.parse(range.fixed):
        return False
    return range.last is None or not Version.parse(range.last) < version


def requirements(row: Advisory, repository: str, package: str) -> list[str]:
    """The affected versions as requirements, for people to read."""
    found = []
    for one in _about(row, repository, package):
        found += [_requirement(each) for each in one.ranges]
        if not one.ranges:
            found += [f"== {version}" for version in one.versions]
    return list(dict.fromkeys(found))


def _requirement(range: AdvisoryRange) -> str:
    parts = [f">= {range.introduced}"] if range.introduced else []
    parts += [f"< {range.fixed}"] if range.fixed else []
    parts += [f"<= {range.last}"] if range.last else []
    return " and ".join(parts) or ">= 0.0.0"


def entry(row: Advisory) -> wire.Advisory:
    """An advisory as registry resources carry it."""
    rating = row.cvss_rating
    return wire.Advisory(
        id=row.id,
        summary=row.summary,
        html_url=HTML_URL + row.id,
        api_url=API_URL + row.id,
        severity=wire.Severity[rating.upper()] if rating else None,
        cvss_score=row.cvss_score,
        aliases=row.aliases,
    )


def beside_theirs(view: View, package: wire.RegistryPackage) -> wire.RegistryPackage:
    """A package of the upstream as rules judge it: its signed advisories, and those we were given.

    A version that cannot be compared is affected.
    """
    rows = of_package(view, PUBLIC, package.name)
    if not rows:
        return package
    first = len(package.advisories)

    def judged(release: wire.RegistryRelease) -> wire.RegistryRelease:
        ours = tuple(
            first + i for i, row in enumerate(rows) if _may_affect(row, package.name, release)
        )
        return replace(release, advisory_indexes=release.advisory_indexes + ours)

    return replace(
        package,
        advisories=package.advisories + tuple(entry(row) for row in rows),
        releases=tuple(judged(release) for release in package.releases),
    )


def _may_affect(row: Advisory, name: str, release: wire.RegistryRelease) -> bool:
    try:
        return affects_version(row, PUBLIC, name, release.version)
    except Malformed:
        return True
