"""Packages kept of the upstream: which versions, as of when; refreshed and evicted in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from aiohttp.web import StreamResponse

from hexhub import turns
from hexhub.domain import audit
from hexhub.errors import HubError, NotFound
from hexhub.formats.version import Version
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.hub import Hub
from hexhub.jobs import Progress, Work
from hexhub.repositories.mirror import Mirror
from hexhub.schema import AllowedName, Kept, Package
from hexhub.sites.web import pages
from hexhub.sites.web.admin import gate, jobs
from hexhub.sites.web.spoken import counted

routes = Routes(gate.administration)

EVICTED_AT_ONCE = 200
REGISTRY = ""
"""Stands for the lists and builds, which are of no package."""


@dataclass(slots=True)
class Sum:
    """What is kept of a package; sizes in bytes."""

    name: str
    files: int = 0
    size: int = 0
    versions: int = 0
    docs: int = 0

    def add(self, row: Kept) -> None:
        self.files += 1
        self.size += row.size
        self.versions += row.path.startswith("tarballs/")
        self.docs += row.path.startswith("docs/")


def package_of(path: str) -> str:
    """Whose a kept file is; REGISTRY for a list or a build."""
    kind, _, rest = path.partition("/")
    if kind == "packages":
        return rest
    if kind in ("tarballs", "docs"):
        return rest.partition("-")[0]
    return rest.removeprefix("packages/").partition("/")[0] if kind == "api" else REGISTRY


async def sums(hub: Hub) -> dict[str, Sum]:
    """What is kept, by package; read in turns, for there may be very much."""
    found: dict[str, Sum] = {}
    async for rows in turns.rows(hub.store, Kept, pause_s=0):
        for row in rows:
            name = package_of(row.path)
            found.setdefault(name, Sum(name)).add(row)
    return found


def mirror_of(call: Call) -> Mirror:
    """The mirror. Raises NotFound without an upstream."""
    if call.hub.mirror is None:
        raise NotFound("This hub has no upstream: UPSTREAM_ENABLED is false.")
    return call.hub.mirror


@routes.get("/kept", allow=gate.LOOKS)
async def list_kept(call: Call) -> StreamResponse:
    """How much is kept, by package, the largest first."""
    mirror = call.hub.mirror
    if mirror is None:
        return gate.page("kept_list.html", mirror=None)
    wanted = gate.wanted(call)
    by_name = await sums(call.hub)
    registry = by_name.pop(REGISTRY, Sum(REGISTRY))
    found = sorted(
        (each for each in by_name.values() if wanted in each.name),
        key=lambda each: (-each.size, each.name),
    )
    part, pager = gate.paged(call, found)
    return gate.page(
        "kept_list.html",
        mirror=mirror,
        wanted=wanted,
        found=[(each, _shadow(call, mirror, each.name)) for each in part],
        pager_of=pager,
        total=sum(each.size for each in by_name.values()) + registry.size,
        files=sum(each.files for each in by_name.values()) + registry.files,
        packages=len(by_name),
        registry=registry,
    )


def _shadow(call: Call, mirror: Mirror, name: str) -> str | None:
    """`own` or `upstream`: who is served where a package of ours has this name; None: none has."""
    if name.lower() not in mirror.own_names:
        return None
    return "upstream" if name.lower() in mirror.preferred else "own"


@routes.get("/kept/{name}", allow=gate.LOOKS)
async def show(call: Call) -> StreamResponse:
    """What is kept of one package, version by version."""
    mirror, name = mirror_of(call), call.path["name"]
    rows = {row.path: row for row in _rows(call.hub, {name})}
    if not rows:
        raise NotFound(f"Nothing of {name[:100]} is kept.")
    return gate.page(
        "kept.html",
        name=name,
        versions=[_version(call, mirror, rows, name, each) for each in _versions(rows, name)],
        others=[
            (row, mirror.copies.last_used(row), mirror.mirrored.checked_at(row))
            for path, row in sorted(rows.items())
            if not path.startswith(("tarballs/", "docs/"))
        ],
        total=sum(row.size for row in rows.values()),
        files=len(rows),
        shadow=_shadow(call, mirror, name),
        own=_own(call, name),
    )


def _own(call: Call, name: str) -> list[tuple[Package, AllowedName | None]]:
    with call.hub.store.view() as view:
        found = list(view.find(Package, "name", name.lower()))
        return [(each, view.get(AllowedName, each.name, each.repository)) for each in found]


def _versions(rows: Iterable[str], name: str) -> list[str]:
    """Versions of which a tarball or documentation is kept, the newest first."""
    found = set()
    for path in rows:
        kind, _, file = path.partition("/")
        if kind in ("tarballs", "docs"):
            file = file.removesuffix(".tar").removesuffix(".tar.gz")
            found.add(file.removeprefix(f"{name}-"))
    return sorted(found, key=_order, reverse=True)


def _order(version: str) -> tuple[bool, object]:
    try:
        return True, Version.parse(version)
    except HubError:
        return False, version


def _version(
    call: Call, mirror: Mirror, rows: dict[str, Kept], name: str, version: str
) -> dict[str, object]:
    tarball = rows.get(f"tarballs/{name}-{version}.tar")
    docs = rows.get(f"docs/{name}-{version}.tar.gz")
    there = [row for row in (tarball, docs) if row is not None]
    return {
        "version": version,
        "tarball": tarball,
        "docs": docs,
        "fetched": max(row.fetched_at for row in there),
        "used": max(mirror.copies.last_used(row) for row in there),
    }


def _rows(hub: Hub, names: set[str]) -> list[Kept]:
    """The kept files of some packages."""
    found: list[Kept] = []
    with hub.store.view() as view:
        for name in sorted(names):
            for path in (f"packages/{name}", f"api/packages/{name}"):
                row = view.get(Kept, path)
                found += [row] if row else []
            for start in (f"tarballs/{name}-", f"docs/{name}-", f"api/packages/{name}/"):
                for row in view.scan(Kept, after=(start,)):
                    if not row.path.startswith(start):
                        break
                    found.append(row)
    return found


@routes.post("/kept/evict", allow=gate.CHANGES)
async def evict(call: Call) -> StreamResponse:
    """Forget what is kept of the chosen packages; it is fetched again when asked for."""
    mirror, names = mirror_of(call), await _chosen(call)
    work = evicting(call.hub, mirror, names)
    return await _begun(call, "mirror.evict", names, work)


@routes.post("/kept/refresh", allow=gate.CHANGES)
async def refresh(call: Call) -> StreamResponse:
    """Ask the upstream now what has become of the chosen packages."""
    mirror, names = mirror_of(call), await _chosen(call)
    work = refreshing(call.hub, mirror, names)
    return await _begun(call, "mirror.refresh", names, work)


async def _chosen(call: Call) -> list[str]:
    """The packages that were ticked, or all that match what is looked for."""
    if "all" in call.body:
        wanted = str(call.body.get("q", "")).strip().lower()
        return sorted(name for name in await sums(call.hub) if name and wanted in name)
    return sorted(
        name.removeprefix("package:") for name in call.body if name.startswith("package:")
    )


async def _begun(call: Call, kind: str, names: list[str], work: Work) -> StreamResponse:
    if not names:
        return gate.page(
            "said.html",
            status=422,
            title="Nothing was chosen",
            said="Tick packages in the list first, then press the button.",
            back="/admin/kept",
        )
    about = names[0] if len(names) == 1 else f"{counted(len(names), 'package')}, {names[0]} first"
    begin = call.hub.jobs.begin
    id = await begin(call.origin, kind, about, work, total=len(names), unit="package")
    return jobs.to(id)


def evicting(hub: Hub, mirror: Mirror, names: list[str]) -> Work:
    """Forgets the files of these packages."""

    async def work(progress: Progress) -> str:
        files = size = 0
        for start in range(0, len(names), EVICTED_AT_ONCE):
            batch = names[start : start + EVICTED_AT_ONCE]
            rows = _rows(hub, set(batch))
            mirror.evict(rows)
            await mirror.copies.flush()
            files, size = files + len(rows), size + sum(row.size for row in rows)
            progress.step(len(batch))
            await asyncio.sleep(0)
        return f"{counted(files, 'file')} forgotten. What is asked for again is fetched again."

    return work


def refreshing(hub: Hub, mirror: Mirror, names: list[str]) -> Work:
    """Has the upstream vouch for these packages anew."""

    async def work(progress: Progress) -> str:
        changed = 0
        for name in names:
            try:
                new = await _refreshed(hub, mirror, name)
            except HubError as error:
                progress.step(failed=True, note=f"{name}: {error}")
                continue
            changed += new
            progress.step(note=f"{name}: changed at the upstream" if new else "")
        asked = f"{counted(len(names) - progress.job.failed, 'package')} asked for"
        return f"{asked}; {changed or 'none'} had changed at the upstream."

    return work


async def _refreshed(hub: Hub, mirror: Mirror, name: str) -> bool:
    """Whether the registry of a package is another now. Raises what the upstream did wrong."""
    before = mirror.copies.get(f"packages/{name}")
    copy, _ = await mirror.package(name, newer_than=hub.now())
    if copy.failed:
        raise HubError("the upstream did not answer; the kept copy stays")
    for row in _rows(hub, {name}):
        if row.path.startswith("docs/"):
            await mirror.mirrored.get(row.path, mirror.believed.docs, newer_than=hub.now())
    return before is None or before.checksum != copy.row.checksum


@routes.post("/kept/{name}/forget", allow=gate.CHANGES)
async def forget(call: Call) -> StreamResponse:
    """Forget one version, at once."""
    mirror, name, version = mirror_of(call), call.path["name"], str(call.body.get("version", ""))
    paths = {f"tarballs/{name}-{version}.tar", f"docs/{name}-{version}.tar.gz"}
    rows = [row for row in _rows(call.hub, {name}) if row.path in paths]
    mirror.evict(rows)
    await mirror.copies.flush()
    about = {"about": f"{name} {version}"}
    await call.hub.store.transact(audit.record, call.origin, "mirror.evict", about, call.now)
    left = _rows(call.hub, {name})
    return pages.redirect(f"/admin/kept/{name}" if left else "/admin/kept")
