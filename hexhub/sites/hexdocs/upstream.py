"""Documentation of upstream packages, read here like our own, with the upstream there or not."""

from __future__ import annotations

from datetime import datetime

from hexhub.errors import NotFound
from hexhub.formats import registry as wire
from hexhub.formats.version import Version
from hexhub.http.call import Call
from hexhub.repositories.mirror import Mirror
from hexhub.schema import PUBLIC, Release, Retirement
from hexhub.sites.hexdocs.readers import Place

TRIED_MAX = 5
"""Releases that are looked at, the newest first, for one that has documentation."""


async def find(call: Call, place: Place) -> tuple[Release, list[Release]]:
    """The release at a place and all of its package, as rows of ours. Raises NotFound."""
    mirror = call.hub.mirror
    if mirror is None or place.repository != PUBLIC or not place.name.isascii():
        raise NotFound
    if not await mirror.knows(place.name):
        raise NotFound
    _, package = await mirror.package(place.name)
    versions = sorted(
        (release.version for release in package.releases),
        key=lambda text: (not Version.parse(text).pre, Version.parse(text).sort_key),
        reverse=True,
    )
    wanted = [place.version] if place.version is not None else versions[:TRIED_MAX]
    for version in wanted:
        checksum = await _archive(mirror, place.name, version)
        if checksum is not None:
            rows = [_row(package, each, checksum, call.now) for each in package.releases]
            found = next((row for row in rows if row.version == version), None)
            if found is not None:
                rows.sort(key=lambda row: Version.parse(row.version), reverse=True)
                return found, rows
    raise NotFound


async def _archive(mirror: Mirror, name: str, version: str) -> bytes | None:
    try:
        return (await mirror.docs(name, version)).row.checksum
    except NotFound:
        return None


def _row(
    package: wire.RegistryPackage, release: wire.RegistryRelease, docs: bytes, now: datetime
) -> Release:
    """A release of the upstream in the shape of ours; `docs` is right for the one that is read."""
    retired = release.retired
    published = release.published_at or now
    return Release(
        repository=PUBLIC,
        package=package.name,
        version=release.version,
        inner_checksum=release.inner_checksum,
        outer_checksum=release.outer_checksum or bytes(32),
        size=0,
        app=package.name,
        build_tools=(),
        retirement=Retirement(reason=_reason(retired.reason)) if retired else None,
        docs_checksum=docs,
        created_at=published,
        updated_at=published,
    )


def _reason(number: int) -> str:
    try:
        return wire.RetirementReason(number).name.lower()
    except ValueError:
        return "other"
