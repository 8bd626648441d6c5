"""Packages of the upstream as pages show them: the signed registry, and what its API says beside it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from hexhub.domain import upstream_names
from hexhub.errors import HubError, NotFound
from hexhub.formats import registry as wire, resource_path
from hexhub.formats.version import Version
from hexhub.http.call import Call
from hexhub.repositories.mirror import Mirror
from hexhub.schema import PUBLIC, Package, PackageMeta, Release, Requirement, Retirement


async def find(call: Call, name: str) -> tuple[Package, list[Release]]:
    """A package that is not ours, and its releases, newest first. Raises NotFound."""
    mirror = call.hub.mirror
    if mirror is None or resource_path.parse(f"packages/{name}") is None:
        raise NotFound
    with call.hub.store.view() as view:
        if upstream_names.withheld(view, name):
            raise NotFound
    if not await mirror.knows(name):
        raise NotFound
    _, package = await mirror.package(name)
    document = await _document(call, mirror, name)
    releases = [_release(each, package, document, call.now) for each in package.releases]
    releases.sort(key=lambda each: Version.parse(each.version), reverse=True)
    created = min((each.created_at for each in releases), default=call.now)
    updated = max((each.created_at for each in releases), default=call.now)
    meta = _meta(document)
    return (
        Package(repository=PUBLIC, name=name, meta=meta, created_at=created, updated_at=updated),
        releases,
    )


async def contents(call: Call, release: Release) -> bytes:
    """The checksum of a release's tarball, once it is kept. Raises NotFound, RefusedByRule.

    A passer-by sees what is kept, and makes nothing be fetched.
    """
    mirror = call.hub.mirror
    path = f"tarballs/{release.package}-{release.version}.tar"
    if mirror is None or (mirror.copies.get(path) is None and call.actor.anonymous):
        raise NotFound("The files of this release were not fetched yet. Sign in to fetch them.")
    return (await mirror.tarball(release.package, release.version)).row.checksum


async def _document(call: Call, mirror: Mirror, name: str) -> dict[str, Any]:
    """What the upstream's API says of a package; empty when it cannot be asked."""
    try:
        copy = await mirror.document(name, f"packages/{name}")
        value = msgspec.json.decode(await _bytes(call, copy.row.checksum))
    except (HubError, msgspec.DecodeError):
        return {}
    return value if isinstance(value, dict) else {}


async def _bytes(call: Call, checksum: bytes) -> bytes:
    """A kept file; a small one is in memory before it is on the disk."""
    known = call.hub.small_blobs.get(checksum)
    return known if known is not None else await (await call.hub.storage.open(checksum)).read()


def _meta(document: dict[str, Any]) -> PackageMeta:
    given = document.get("meta")
    meta = given if isinstance(given, dict) else {}
    description, licenses, links = (meta.get(key) for key in ("description", "licenses", "links"))
    return PackageMeta(
        description=description if isinstance(description, str) else None,
        licenses=tuple(str(each) for each in licenses) if isinstance(licenses, list) else (),
        links={str(k): str(v) for k, v in links.items()} if isinstance(links, dict) else {},
    )


def _release(
    given: wire.RegistryRelease,
    package: wire.RegistryPackage,
    document: dict[str, Any],
    now: datetime,
) -> Release:
    """A release of the upstream in the shape of ours."""
    published = given.published_at or now
    documented = {
        str(each.get("version"))
        for each in document.get("releases", ())
        if isinstance(each, dict) and each.get("has_docs")
    }
    return Release(
        repository=PUBLIC,
        package=package.name,
        version=given.version,
        inner_checksum=given.inner_checksum,
        outer_checksum=given.outer_checksum or bytes(32),
        size=0,
        app=package.name,
        build_tools=(),
        requirements=tuple(
            Requirement(
                repository=each.repository or PUBLIC,
                package=each.package,
                app=each.app or each.package,
                requirement=each.requirement,
                optional=bool(each.optional),
            )
            for each in given.dependencies
        ),
        retirement=_retirement(given.retired) if given.retired else None,
        docs_checksum=bytes(32) if given.version in documented else None,
        created_at=published,
        updated_at=published,
    )


def _retirement(given: wire.Retired) -> Retirement:
    try:
        reason = wire.RetirementReason(given.reason).name.lower()
    except ValueError:
        reason = "other"
    return Retirement(reason=reason, message=given.message)
