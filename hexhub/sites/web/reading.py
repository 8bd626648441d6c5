"""What the reader of a page may see, and where things are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hexhub.domain import packages
from hexhub.errors import Malformed, NotFound
from hexhub.formats.version import Version
from hexhub.http.call import Call
from hexhub.schema import PUBLIC, Package, Release
from hexhub.sites.web import upstream
from hexhub.sites.web.spoken import segment
from hexhub.unpacked import Pack

if TYPE_CHECKING:
    from cluster import View


def repositories(view: View, call: Call) -> list[str]:
    """The repositories this reader sees; none at all where only members read (design §9)."""
    if call.actor.anonymous and call.hub.anonymous_read != "true":
        return []
    return packages.repositories(view, call.actor)


def package(view: View, call: Call, repository: str, name: str) -> Package:
    """A package that this reader may see. Raises NotFound."""
    if repository not in repositories(view, call):
        raise NotFound
    return packages.find(view, call.actor, repository, name)


@dataclass(frozen=True, slots=True)
class Shown:
    """A package on a page, with its releases, newest first; `ours`, or the upstream's."""

    package: Package
    releases: list[Release]
    ours: bool

    def release(self, version: str | None) -> Release:
        """The release of a version; without one, the one that stands for the package."""
        if version is None:
            found = packages.latest(self.releases)
        else:
            found = next((each for each in self.releases if each.version == version), None)
        if found is None:
            raise NotFound(f"{self.package.name} has no version {(version or '')[:60]}.")
        return found


async def find(call: Call, repository: str, name: str) -> Shown:
    """A package that this reader may see, here or at the upstream. Raises NotFound."""
    try:
        with call.hub.store.view() as view:
            found = package(view, call, repository, name)
            return Shown(found, packages.releases(view, found), ours=True)
    except NotFound:
        closed = call.hub.anonymous_read == "false" and call.actor.anonymous
        if repository != PUBLIC or closed:
            raise
    return Shown(*await upstream.find(call, name), ours=False)


async def contents(call: Call, shown: Shown, release: Release) -> Pack:
    """The files of a release. Raises NotFound."""
    checksum = release.outer_checksum
    if not shown.ours:
        checksum = await upstream.contents(call, release)
    return await call.hub.unpacked.get("package", checksum)


def is_version(text: str) -> bool:
    """Whether a segment of a path is a version: no name is one."""
    try:
        Version.parse(text)
    except Malformed:
        return False
    return True


def package_path(repository: str, name: str) -> str:
    """Where a package is shown."""
    return f"/packages/{name}" if repository == PUBLIC else f"/packages/{repository}/{name}"


def release_path(repository: str, name: str, version: str) -> str:
    """Where a release is shown."""
    return f"{package_path(repository, name)}/{segment(version)}"


def docs_path(repository: str, name: str, version: str | None = None) -> str:
    """Where documentation is read."""
    base = f"/docs/{name}/" if repository == PUBLIC else f"/repos/{repository}/docs/{name}/"
    return f"{base}{segment(version)}/" if version else base


def diff_path(repository: str, name: str, old: str, new: str) -> str:
    """Where the difference of two versions is shown."""
    base = f"/diff/{name}" if repository == PUBLIC else f"/diff/{repository}/{name}"
    return f"{base}/{segment(old)}..{segment(new)}"


def package_address(each: object) -> str:
    """Where the package of a listed, published or found thing is shown."""
    return package_path(_repository(each), _name(each))


def release_address(each: object) -> str:
    """Where the release of a published or found thing is shown."""
    return release_path(_repository(each), _name(each), str(getattr(each, "version", "")))


def docs_address(each: object) -> str:
    """Where the newest documentation of a listed or published thing is read."""
    return docs_path(_repository(each), _name(each))


def _repository(each: object) -> str:
    return str(getattr(each, "repository", PUBLIC))


def _name(each: object) -> str:
    return str(getattr(each, "package", None) or getattr(each, "name", ""))


FILTERS = {
    "package_address": package_address,
    "release_address": release_address,
    "docs_address": docs_address,
}
