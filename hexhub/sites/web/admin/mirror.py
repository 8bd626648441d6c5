"""The mirror: what is kept, what the rules hold back, and names that are here and at the upstream."""

from __future__ import annotations

from collections import Counter

from aiohttp.web import Response, StreamResponse

from hexhub.domain import mirror_rules, upstream_names
from hexhub.errors import HubError, Invalid, NotFound
from hexhub.http import judging
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.repositories.mirror import Mirror
from hexhub.schema import PUBLIC, AllowedName, Kept, Organization, ReservedName, Rule
from hexhub.sites.web import pages
from hexhub.sites.web.account import text
from hexhub.sites.web.admin import gate

routes = Routes(gate.administration)

SHOWN_MAX = 300
KINDS = ("deny", "allow", "cooldown", "retired", "advisory")


def _mirror(call: Call) -> Mirror:
    if call.hub.mirror is None:
        raise NotFound("This hub has no upstream: UPSTREAM_ENABLED is false.")
    return call.hub.mirror


def _package(path: str) -> str | None:
    """Whose a kept file is."""
    kind, _, rest = path.partition("/")
    if kind == "packages":
        return rest
    if kind in ("tarballs", "docs"):
        return rest.partition("-")[0]
    return rest.removeprefix("packages/").partition("/")[0] if kind == "api" else None


@routes.get("/mirror", allow=gate.LOOKS)
async def show(call: Call) -> StreamResponse:
    """How much is kept, by package."""
    if call.hub.mirror is None:
        return gate.page("mirror.html", mirror=None)
    wanted = str(call.query.get("q", "")).strip().lower()
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for row in call.hub.mirror.copies.all():
        name = _package(row.path) or "registry"
        files[name] += 1
        sizes[name] += row.size
    found = [each for each in sizes.most_common() if wanted in each[0]]
    return gate.page(
        "mirror.html",
        mirror=call.hub.mirror,
        wanted=wanted,
        found=[(name, files[name], octets) for name, octets in found[:SHOWN_MAX]],
        count=len(found),
        total=sum(sizes.values()),
        rows=sum(files.values()),
    )


@routes.post("/mirror/evict", allow=gate.CHANGES)
async def evict(call: Call) -> StreamResponse:
    """Forget what is kept of some packages; it is fetched again when asked for."""
    mirror = _mirror(call)
    names = {name.removeprefix("package:") for name in call.body if name.startswith("package:")}
    mirror.evict([row for row in mirror.copies.all() if _package(row.path) in names])
    await mirror.copies.flush()
    return pages.redirect("/admin/mirror")


@routes.post("/mirror/test", allow=gate.CHANGES)
async def test(call: Call) -> StreamResponse:
    """Ask the upstream for its list of names, and say what came of it."""
    mirror = _mirror(call)
    try:
        copy = await mirror.listing("names")
        said = f"The upstream's names: {copy.state}."
    except HubError as error:
        said = f"The upstream did not answer: {error}"
    return gate.page("test.html", said=said, back="/admin/mirror")


@routes.get("/mirror/{name}", allow=gate.LOOKS)
async def kept(call: Call) -> StreamResponse:
    """What is kept of one package."""
    mirror, name = _mirror(call), call.path["name"]
    rows: list[Kept] = [row for row in mirror.copies.all() if _package(row.path) == name]
    if not rows:
        raise NotFound(f"Nothing of {name[:100]} is kept.")
    rows.sort(key=lambda row: row.path)
    return gate.page(
        "kept.html", name=name, rows=[(row, mirror.copies.last_used(row)) for row in rows]
    )


@routes.get("/rules", allow=gate.LOOKS)
async def rules(call: Call) -> StreamResponse:
    """The rules, and what they say of a release."""
    verdict = None
    name, version = str(call.query.get("name", "")), str(call.query.get("version", ""))
    if name and version:
        where = str(call.query.get("repository", PUBLIC))
        verdict = await judging.verdict(call.hub, where, name, version)
    return _rules(call, name=name, version=version, verdict=verdict)


def _rules(
    call: Call,
    *,
    status: int = 200,
    wrong: str = "",
    name: str = "",
    version: str = "",
    verdict: object = None,
) -> Response:
    with call.hub.store.view() as view:
        found = mirror_rules.everyone(view)
        repositories = [PUBLIC, *(row.name for row in view.scan(Organization))]
    return gate.page(
        "rules.html",
        status=status,
        repositories=repositories,
        repository=str(call.query.get("repository", PUBLIC)),
        found=found,
        kinds=KINDS,
        wrong=wrong,
        name=name,
        version=version,
        verdict=verdict,
        has_mirror=call.hub.mirror is not None,
    )


@routes.post("/rules/new", allow=gate.CHANGES)
async def add_rule(call: Call) -> StreamResponse:
    """Switch a rule on, on all nodes."""
    try:
        rule: Rule = mirror_rules.make(
            text(call, "kind"),
            text(call, "pattern") or "*",
            text(call, "requirement") or None,
            text(call, "value") or None,
            call.now,
            text(call, "repository") or PUBLIC,
        )
    except Invalid as error:
        return _rules(call, status=422, wrong=gate.words(error.errors))
    await call.hub.store.transact(mirror_rules.add, call.origin, rule)
    return pages.redirect("/admin/rules")


@routes.post("/rules/remove", allow=gate.CHANGES)
async def remove_rule(call: Call) -> StreamResponse:
    """Switch a rule off."""
    where = text(call, "repository") or PUBLIC
    await call.hub.store.transact(
        mirror_rules.remove, call.origin, text(call, "id"), call.now, where
    )
    return pages.redirect("/admin/rules")


@routes.get("/names", allow=gate.LOOKS)
async def names(call: Call) -> StreamResponse:
    """Names that are here and at the upstream, and those that are never asked for there."""
    return _names(call)


def _names(call: Call, *, status: int = 200, wrong: str = "") -> Response:
    with call.hub.store.view() as view:
        return gate.page(
            "names.html",
            status=status,
            clashes=upstream_names.clashes(view),
            allowed=list(view.scan(AllowedName)),
            reserved=list(view.scan(ReservedName)),
            wrong=wrong,
        )


@routes.post("/names/allow", allow=gate.CHANGES)
async def allow(call: Call) -> StreamResponse:
    """Allow a name in a repository, and say which side wins."""
    try:
        await call.hub.store.transact(
            upstream_names.allow,
            call.origin,
            text(call, "repository"),
            text(call, "name"),
            text(call, "wins"),
            call.now,
        )
    except Invalid as error:
        return _names(call, status=422, wrong=gate.words(error.errors))
    return pages.redirect("/admin/names")


@routes.post("/names/disallow", allow=gate.CHANGES)
async def disallow(call: Call) -> StreamResponse:
    """Take that word back."""
    await call.hub.store.transact(
        upstream_names.disallow,
        call.origin,
        text(call, "repository"),
        text(call, "name"),
        call.now,
    )
    return pages.redirect("/admin/names")


@routes.post("/names/reserve", allow=gate.CHANGES)
async def reserve(call: Call) -> StreamResponse:
    """Reserve names by a pattern."""
    try:
        await call.hub.store.transact(
            upstream_names.reserve, call.origin, text(call, "pattern"), call.now
        )
    except Invalid as error:
        return _names(call, status=422, wrong=gate.words(error.errors))
    return pages.redirect("/admin/names")


@routes.post("/names/release", allow=gate.CHANGES)
async def release(call: Call) -> StreamResponse:
    """Take a reservation back."""
    await call.hub.store.transact(
        upstream_names.release, call.origin, text(call, "pattern"), call.now
    )
    return pages.redirect("/admin/names")
