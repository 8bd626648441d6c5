"""The page of a package, and of each of its releases."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp.web import StreamResponse

from hexhub.domain import (
    advisories,
    audit,
    downloads,
    organizations,
    owners,
    packages,
    permissions,
    snippets,
)
from hexhub.domain.releases import REASONS
from hexhub.errors import NotFound
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import PUBLIC, Downloads, Package, Release, Requirement, User
from hexhub.sites.web import chart, files, history, pages, reading, readmes

if TYPE_CHECKING:
    from cluster import View

contested = Routes(pages.web)
routes = Routes(pages.web)

DEPENDANTS_MAX = 100
DEPENDANTS_SCANNED_MAX = 20_000
TABS = ("readme", "versions", "dependencies", "dependants", "audit", "manage")
FOR_OWNERS = ("audit", "manage")


@contested.get("/packages/{name}", allow=pages.READER)
async def show(call: Call) -> StreamResponse:
    """A public package, by its newest stable release."""
    return await _show(call, PUBLIC, call.path["name"], None)


@routes.get("/packages/{name}/{rest*}", allow=pages.READER)
async def below(call: Call) -> StreamResponse:
    """`N/V…` of a public package, else `R/N` or `R/N/V…` of an organization's."""
    first, rest = call.path["name"], call.path["rest"].split("/")
    if reading.is_version(rest[0]):
        return await _release(call, PUBLIC, first, rest)
    if len(rest) == 1:
        return await _show(call, first, rest[0], None)
    if reading.is_version(rest[1]):
        return await _release(call, first, rest[0], rest[1:])
    raise NotFound


async def _release(call: Call, repository: str, name: str, rest: list[str]) -> StreamResponse:
    match rest:
        case [version]:
            return await _show(call, repository, name, version)
        case [version, "files", *path]:
            return await files.browse(call, repository, name, version, "/".join(path))
        case [version, "raw", *path] if path:
            return await files.raw(call, repository, name, version, "/".join(path))
        case [version, "picture", number]:
            return await readmes.picture(call, repository, name, version, number)
    raise NotFound


async def _show(call: Call, repository: str, name: str, version: str | None) -> StreamResponse:
    tab = str(call.query.get("show", "readme"))
    return await shown(call, repository, name, version, tab=tab)


async def shown(
    call: Call,
    repository: str,
    name: str,
    version: str | None = None,
    *,
    tab: str,
    wrong: str = "",
) -> StreamResponse:
    """The page of a package; `wrong` says what came of a form on it."""
    found = await reading.find(call, repository, name)
    release = found.release(version)
    with call.hub.store.view() as view:
        values = _values(view, call, found.package, found.releases, release)
        if tab in FOR_OWNERS and not (found.ours and values["may_manage"]):
            raise NotFound
        values["records"] = (
            history.read(call, lambda page: audit.of_package(view, found.package, page))
            if tab == "audit"
            else None
        )
    readme = await readmes.drawn(call, found, release) if tab not in TABS[1:] else None
    return pages.page(
        "package.html",
        tab=tab if tab in TABS else "readme",
        by_version=version is not None,
        readme=readme[0] if readme else None,
        ours=found.ours,
        wrong=wrong,
        reasons=REASONS,
        **values,
    )


def _values(
    view: View, call: Call, package: Package, releases: list[Release], release: Release
) -> dict[str, Any]:
    repository, name, today = package.repository, package.name, call.now.date()
    rows = list(view.scan(Downloads, repository, name))
    days: dict[str, int] = {}
    for row in rows:
        days[row.day] = days.get(row.day, 0) + row.count
    newer = packages.latest(releases)
    dependants, more = _dependants(view, call, repository, name)
    known = advisories.of_package(view, repository, name)
    before = next(
        (each for at, each in enumerate(releases) if at and releases[at - 1] == release), None
    )
    return {
        "package": package,
        "release": release,
        "releases": releases,
        "newer": newer if newer is not None and newer.version != release.version else None,
        "before": before,
        "advisories": [row for row in known if advisories.affects(row, release)],
        "advised": {
            each.version for each in releases if any(advisories.affects(row, each) for row in known)
        },
        "advisory_url": advisories.HTML_URL,
        "base": reading.package_path(repository, name),
        "here_path": reading.release_path(repository, name, release.version),
        "docs_path": reading.docs_path,
        "release_path": reading.release_path,
        "package_path": reading.package_path,
        "diff_path": reading.diff_path,
        "owners": [
            (owner, _is_user(view, owner.username)) for owner in owners.all_of(view, package)
        ],
        "may_manage": view.get(Package, repository, name) is not None
        and permissions.is_owner(view, call.actor, repository, name, "maintainer"),
        "role": organizations.role_of(view, repository, call.actor.name or "")
        if repository != PUBLIC
        else None,
        "requirements": [(each, _known(view, call, each)) for each in sorted_requirements(release)],
        "dependants": dependants,
        "more_dependants": more,
        "downloads": downloads.windows(rows, today),
        "chart": chart.weekly(days, today),
        "install": install(release),
        "links": list(_links(package)),
        "public": PUBLIC,
        "url": call.hub.url,
    }


def sorted_requirements(release: Release) -> list[Requirement]:
    """Required packages first, optional ones after, by name."""
    return sorted(release.requirements, key=lambda each: (each.optional, each.package))


def _is_user(view: View, name: str) -> bool:
    return view.get(User, name) is not None


def _known(view: View, call: Call, requirement: Requirement) -> bool:
    visible = requirement.repository in reading.repositories(view, call)
    return visible and view.get(Package, requirement.repository, requirement.package) is not None


def _dependants(
    view: View, call: Call, repository: str, name: str
) -> tuple[list[tuple[str, str]], bool]:
    """Visible packages of which some release requires this one, and whether there are more."""
    visible = frozenset(reading.repositories(view, call))
    found: dict[tuple[str, str], None] = {}
    requiring = view.find(Release, "requires", f"{repository}/{name}")
    for each in islice(requiring, DEPENDANTS_SCANNED_MAX):
        if each.repository in visible:
            found[each.repository, each.package] = None
        if len(found) > DEPENDANTS_MAX:
            break
    return sorted(found)[:DEPENDANTS_MAX], len(found) > DEPENDANTS_MAX


def install(release: Release) -> list[tuple[str, list[str]]]:
    """What to paste, by build tool; the tools the package is built with come first."""
    name, app, version = release.package, release.app, release.version
    lines = [
        ("mix.exs", [snippets.mix(release.repository, name, app, version)]),
        ("rebar.config", [snippets.rebar(name, app, version)]),
        ("gleam.toml", [snippets.gleam(name, version)]),
        ("erlang.mk", [snippets.erlang_mk(name, version)]),
    ]
    first = {"rebar3": "rebar.config", "gleam": "gleam.toml", "make": "erlang.mk"}
    wanted = "mix.exs"
    if "mix" not in release.build_tools:
        wanted = next((first[tool] for tool in release.build_tools if tool in first), wanted)
    return sorted(lines, key=lambda line: line[0] != wanted)


def _links(package: Package) -> Iterator[tuple[str, str | None]]:
    """Links with an address that is safe to click; others as text alone."""
    for label, address in package.meta.links.items():
        try:
            safe = urlsplit(address).scheme in ("http", "https")
        except ValueError:
            safe = False
        yield label, address if safe else None
