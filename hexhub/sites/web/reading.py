"""What the reader of a page may see, and where things are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hexhub.domain import packages
from hexhub.errors import NotFound
from hexhub.formats.version import Version
from hexhub.http.call import Call
from hexhub.schema import PUBLIC, Package, Release
from hexhub.sites.web.spoken import segment

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


def release(view: View, found: Package, version: str) -> Release:
    """A release of a package. Raises NotFound."""
    given = view.get(Release, found.repository, found.name, version)
    if given is None:
        raise NotFound(f"{found.name} has no version {version[:60]}.")
    return given


def is_version(text: str) -> bool:
    """Whether a segment of a path is a version: no name is one."""
    try:
        Version.parse(text)
    except Exception:
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
