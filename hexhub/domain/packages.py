"""Packages: find, list and search."""

from __future__ import annotations

from collections.abc import Iterable

from cluster import View
from hexhub.domain import permissions
from hexhub.domain.actors import Actor
from hexhub.errors import NotFound
from hexhub.formats import version
from hexhub.schema import PUBLIC, Member, Organization, Package, Release


def find(view: View, actor: Actor, repository: str, name: str) -> Package:
    """A package that this actor may see. Raises NotFound."""
    if not permissions.may_see(view, actor, repository):
        raise NotFound
    package = view.get(Package, repository, name)
    if package is None:
        raise NotFound
    return package


def releases(view: View, package: Package) -> list[Release]:
    """Every release of a package, newest first by SemVer."""
    found = view.scan(Release, package.repository, package.name)
    return sorted(found, key=lambda release: version.sort_key(release.version), reverse=True)


def latest(releases_: Iterable[Release]) -> Release | None:
    """Of releases sorted newest first: the newest stable one, else the newest."""
    releases_ = list(releases_)
    return latest_stable(releases_) or next(iter(releases_), None)


def latest_stable(releases_: Iterable[Release]) -> Release | None:
    """Of releases sorted newest first: the newest that is no pre-release."""
    return next((r for r in releases_ if version.is_stable(r.version)), None)


def repositories(view: View, actor: Actor) -> list[str]:
    """The repositories whose packages this actor sees: the public one, then others by name."""
    if actor.organization is not None:
        others = [actor.organization]
    elif actor.user is not None:
        members = view.find(Member, "user", actor.user.username)
        others = sorted(member.organization for member in members)
    else:
        others = []
    return [PUBLIC, *(name for name in others if view.get(Organization, name))]
