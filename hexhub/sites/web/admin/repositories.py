"""Repositories and the packages that are published here, in all of them."""

from __future__ import annotations

from aiohttp.web import Response, StreamResponse

from hexhub.domain import mirror_rules, owners, packages, removals, upstream_names
from hexhub.errors import Invalid, NotFound
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import PUBLIC, AllowedName, Member, Organization, Package, Quota
from hexhub.search import Query
from hexhub.sites.web import pages, reading
from hexhub.sites.web.account import text
from hexhub.sites.web.admin import gate, usage

SORTS = (("name", "Name"), ("updated_at", "Updated"), ("total_downloads", "Downloads"))


def routes(used: usage.Usage) -> Routes:
    """The pages of a node, with the sums that it remembers."""
    found = Routes(gate.administration)

    @found.get("/repositories", allow=gate.LOOKS)
    async def list_repositories(call: Call) -> StreamResponse:
        """The public one, and one for each organization."""
        sums = await used.sums(call.hub)
        with call.hub.store.view() as view:
            names = [PUBLIC, *(each.name for each in view.scan(Organization))]
            rows = [
                {
                    "name": name,
                    "address": f"{call.hub.url}/repos/{name}" if name != PUBLIC else call.hub.url,
                    "packages": view.count(Package, name),
                    "members": view.count(Member, name),
                    "rules": len(mirror_rules.of(view, name).rules),
                    "quota": view.get(Quota, name),
                    "sum": sums.own.get(name, usage.Sum()),
                }
                for name in names
            ]
        part, pager = gate.paged(call, rows)
        return gate.page("repositories.html", found=part, pager_of=pager, public=PUBLIC)

    found.get("/packages", allow=gate.LOOKS)(list_packages)
    found.get("/packages/{repository}/{name}", allow=gate.LOOKS)(show_package)
    found.post("/packages/{repository}/{name}/remove", allow=gate.CHANGES)(remove)
    return found


async def list_packages(call: Call) -> StreamResponse:
    """What is published here."""
    with call.hub.store.view() as view:
        every = [PUBLIC, *(each.name for each in view.scan(Organization))]
        clashes = {(each.repository, each.name) for each in upstream_names.clashes(view)}
    chosen = str(call.query.get("repository", ""))
    sort = str(call.query.get("sort", "name"))
    listed = await call.hub.catalogue.find(
        [chosen] if chosen in every else every,
        Query.parse(gate.wanted(call)),
        sort if sort in dict(SORTS) else "name",
        call.now.date(),
    )
    part, pager = gate.paged(call, listed)
    return gate.page(
        "packages.html",
        found=part,
        pager_of=pager,
        wanted=gate.wanted(call),
        every=every,
        chosen=chosen,
        sort=sort,
        sorts=SORTS,
        clashes=clashes,
        public=PUBLIC,
    )


async def show_package(call: Call) -> StreamResponse:
    """One package: its releases and owners, and the way to take it away."""
    return _package(call)


def _package(call: Call, *, status: int = 200, wrong: str = "") -> Response:
    repository, name = call.path["repository"], call.path["name"]
    with call.hub.store.view() as view:
        package = view.get(Package, repository, name)
        if package is None:
            raise NotFound(f"There is no package {name[:100]} in {repository[:100]}.")
        releases = packages.releases(view, package)
        found = owners.all_of(view, package)
        allowed = view.get(AllowedName, name, repository)
        public = (
            repository == PUBLIC or view.get(Member, repository, call.actor.name or "") is not None
        )
    return gate.page(
        "package.html",
        status=status,
        package=package,
        releases=releases,
        owners=found,
        allowed=allowed,
        wrong=wrong,
        address=reading.package_path(repository, name) if public else None,
        size=sum(release.size for release in releases),
    )


async def remove(call: Call) -> StreamResponse:
    """Take a release away, or the whole package; the name is typed, lest it be a slip."""
    repository, name, version = call.path["repository"], call.path["name"], text(call, "version")
    if text(call, "confirm") != name:
        return _package(call, status=422, wrong=f"type {name} to confirm")
    reason = text(call, "reason")
    try:
        if version:
            await call.hub.store.transact(
                removals.remove_release, call.origin, repository, name, version, reason, call.now
            )
        else:
            await call.hub.store.transact(
                removals.remove_package, call.origin, repository, name, reason, call.now
            )
    except Invalid as error:
        return _package(call, status=422, wrong=gate.words(error.errors))
    with call.hub.store.view() as view:
        left = view.get(Package, repository, name) is not None
    return pages.redirect(f"/admin/packages/{repository}/{name}" if left else "/admin/packages")
