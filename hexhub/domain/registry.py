"""What the registry says about packages: rows to values (registry.md §4)."""

from __future__ import annotations

from cluster import View
from hexhub.domain import advisories
from hexhub.formats import registry as wire, version
from hexhub.schema import Advisory, Package, Release, Requirement


def package(view: View, repository: str, name: str) -> wire.RegistryPackage | None:
    """The resource `packages/NAME`, or None for an unknown package."""
    releases = ascending(view, repository, name)
    if not releases:
        return None
    about = relevant_advisories(view, repository, name, releases)
    return wire.RegistryPackage(
        name=name,
        repository=repository,
        releases=tuple(_release(release, repository, about) for release in releases),
        advisories=tuple(advisories.entry(row) for row in about),
    )


def relevant_advisories(
    view: View, repository: str, name: str, releases: list[Release]
) -> list[Advisory]:
    """The advisories that a release of the package is affected by, by id."""
    return [
        row
        for row in advisories.of_package(view, repository, name)
        if any(advisories.affects(row, release) for release in releases)
    ]


def ascending(view: View, repository: str, name: str) -> list[Release]:
    """Releases by SemVer, oldest first: the order that indexes in resources refer to."""
    found = view.scan(Release, repository, name)
    return sorted(found, key=lambda release: version.sort_key(release.version))


def names_entry(row: Package) -> wire.NamesEntry:
    """A package's part of `names`."""
    return wire.NamesEntry(name=row.name, updated_at=row.updated_at)


def versions_entry(name: str, releases: list[Release], about: list[Advisory]) -> wire.VersionsEntry:
    """A package's part of `versions`, from releases in ascending order and its advisories."""
    return wire.VersionsEntry(
        name=name,
        versions=tuple(release.version for release in releases),
        retired=tuple(i for i, release in enumerate(releases) if release.retirement),
        with_advisories=tuple(
            i
            for i, release in enumerate(releases)
            if any(advisories.affects(row, release) for row in about)
        ),
    )


def _release(release: Release, repository: str, about: list[Advisory]) -> wire.RegistryRelease:
    retirement = release.retirement
    return wire.RegistryRelease(
        version=release.version,
        inner_checksum=release.inner_checksum,
        outer_checksum=release.outer_checksum,
        dependencies=tuple(
            _dependency(requirement, repository)
            for requirement in sorted(
                release.requirements,
                key=lambda r: (r.repository, r.package, r.requirement, r.optional, r.app),
            )
        ),
        retired=wire.Retired(wire.RetirementReason[retirement.reason.upper()], retirement.message)
        if retirement
        else None,
        advisory_indexes=tuple(
            i for i, row in enumerate(about) if advisories.affects(row, release)
        ),
        published_at=release.created_at,
    )


def _dependency(requirement: Requirement, repository: str) -> wire.Dependency:
    """What equals the default is left out: Gleam takes the mere presence of `optional` as true."""
    return wire.Dependency(
        package=requirement.package,
        requirement=requirement.requirement,
        optional=True if requirement.optional else None,
        app=requirement.app if requirement.app != requirement.package else None,
        repository=requirement.repository if requirement.repository != repository else None,
    )
