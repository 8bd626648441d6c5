"""What the operator does with the mirror: fetch ahead, look, carry, verify, evict."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import datetime

from aiohttp.web import StreamResponse

from hexhub.errors import HubError, Invalid, NotFound, RefusedByRule
from hexhub.formats.version import Version
from hexhub.http import blobs, bodies
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.repositories.mirror import Mirror
from hexhub.repositories.upstream import Fetched
from hexhub.schema import PUBLIC, Kept, Package
from hexhub.sites.operator.pipeline import OPERATOR, answer, control

routes = Routes(control)

PIECE = 1 << 20


def mirror_of(call: Call) -> Mirror:
    """The mirror. Raises Invalid without an upstream."""
    if call.hub.mirror is None:
        raise Invalid({"upstream": "there is none: UPSTREAM_ENABLED is false"})
    return call.hub.mirror


def _row(mirror: Mirror, row: Kept) -> dict[str, object]:
    return {
        "path": row.path,
        "size": row.size,
        "sha256": row.checksum.hex(),
        "etag": row.etag,
        "upstream": row.upstream,
        "fetched_at": row.fetched_at,
        "checked_at": mirror.mirrored.checked_at(row),
        "used_at": mirror.copies.last_used(row),
    }


@routes.post("/mirror/fetch", allow=OPERATOR)
async def fetch(call: Call) -> StreamResponse:
    """Fetch what a release needs: registry, tarball, docs when asked for. One result a file."""
    mirror, body = mirror_of(call), call.body
    name, version = body.get("name"), body.get("version")
    if not isinstance(name, str) or not isinstance(version, str):
        raise Invalid({"name": "say which release: a name and a version"})
    Version.parse(version)
    with call.hub.store.view() as view:
        ours = view.get(Package, PUBLIC, name) is not None
    if ours and name not in mirror.preferred:
        return answer([{"path": f"packages/{name}", "status": "skipped", "why": "it is ours"}])
    checksum = body.get("checksum")
    results = [await _fetch_package(mirror, name)]
    results.append(await _fetch_tarball(mirror, name, version, checksum))
    if body.get("docs") is True:
        results.append(await _fetch_docs(mirror, name, version))
    return answer(results)


def _result(path: str, status: str, why: str = "") -> dict[str, object]:
    return {"path": path, "status": status, "why": why}


def _failed(path: str, error: HubError) -> dict[str, object]:
    if isinstance(error, NotFound):
        return _result(path, "missing", "not at the upstream, or never asked for")
    status = "refused" if isinstance(error, RefusedByRule) else "failed"
    return _result(path, status, str(error))


async def _fetch_package(mirror: Mirror, name: str) -> dict[str, object]:
    path = f"packages/{name}"
    try:
        copy, _ = await mirror.package(name)
    except HubError as error:
        return _failed(path, error)
    return _result(path, "fetched" if copy.state in ("miss", "revalidated") else "had")


async def _fetch_tarball(
    mirror: Mirror, name: str, version: str, checksum: object
) -> dict[str, object]:
    path = f"tarballs/{name}-{version}.tar"
    try:
        copy = await mirror.tarball(name, version)
    except HubError as error:
        return _failed(path, error)
    if checksum and checksum != copy.row.checksum.hex():
        return _result(path, "failed", "the lock file has another checksum")
    return _result(path, "fetched" if copy.state == "miss" else "had")


async def _fetch_docs(mirror: Mirror, name: str, version: str) -> dict[str, object]:
    path = f"docs/{name}-{version}.tar.gz"
    try:
        copy = await mirror.docs(name, version)
    except NotFound:
        return _result(path, "skipped", "it has no docs")
    except HubError as error:
        return _failed(path, error)
    return _result(path, "fetched" if copy.state == "miss" else "had")


@routes.post("/mirror/lists", allow=OPERATOR)
async def fetch_lists(call: Call) -> StreamResponse:
    """Fetch `names` and `versions`."""
    mirror, results = mirror_of(call), []
    for path in ("names", "versions"):
        try:
            copy = await mirror.listing(path)
        except HubError as error:
            results.append(_failed(path, error))
        else:
            state = "fetched" if copy.state in ("miss", "revalidated") else "had"
            results.append(_result(path, state))
    return answer(results)


@routes.get("/mirror/kept", allow=OPERATOR)
async def kept(call: Call) -> StreamResponse:
    """Every kept copy, or those of one package."""
    mirror = mirror_of(call)
    name = call.query.get("package")
    return answer(
        [_row(mirror, row) for row in mirror.copies.all() if name is None or _is_of(row, name)]
    )


def _is_of(row: Kept, name: str) -> bool:
    return row.path in (f"packages/{name}", f"api/packages/{name}") or row.path.startswith(
        (f"tarballs/{name}-", f"docs/{name}-", f"api/packages/{name}/")
    )


@routes.get("/mirror/bytes", allow=OPERATOR)
async def read(call: Call) -> StreamResponse:
    """The bytes of a kept copy."""
    row = _kept(call, str(call.query.get("path")))
    return await blobs.answer(
        call.request, call.hub.storage, call.hub.small_blobs, row.checksum, {}
    )


def _kept(call: Call, path: str) -> Kept:
    row = mirror_of(call).copies.get(path)
    if row is None:
        raise NotFound(f"{path} is not kept")
    return row


@routes.post("/mirror/bring", allow=OPERATOR)
async def bring(call: Call) -> StreamResponse:
    """Keep the file in the body, after the checks that it would pass had it come from upstream."""
    mirror, path = mirror_of(call), str(call.query.get("path"))
    try:
        at = datetime.fromisoformat(str(call.query.get("at")))
    except ValueError:
        raise Invalid({"at": "must be a time"}) from None
    if at.tzinfo is None:
        raise Invalid({"at": "must have a time zone"})
    kind = await mirror.kind_of(path)
    async with bodies.upload(call) as spooled:
        fetched = Fetched.large(spooled, call.query.get("etag"))
        _, new = await mirror.mirrored.bring(path, kind, fetched, at)
    return answer(_result(path, "fetched" if new else "had"))


@routes.post("/mirror/verify", allow=OPERATOR)
async def verify(call: Call) -> StreamResponse:
    """Hash one kept copy again, and check the signature of a registry resource."""
    mirror = mirror_of(call)
    row = _kept(call, str(call.body.get("path")))
    try:
        blob = await call.hub.storage.open(row.checksum)
        digest = hashlib.sha256()
        async for piece in blob.chunks(0, blob.size):
            digest.update(piece)
        if digest.digest() != row.checksum:
            return answer(_result(row.path, "damaged", "its checksum is another"))
        if row.path in ("names", "versions") or row.path.startswith("packages/"):
            await mirror.believed.payload(row)
    except NotFound:
        return answer(_result(row.path, "damaged", "its bytes are gone"))
    except HubError as error:
        return answer(_result(row.path, "damaged", str(error)))
    return answer(_result(row.path, "good"))


@routes.post("/mirror/evict", allow=OPERATOR)
async def evict(call: Call) -> StreamResponse:
    """Forget a path, all of a package, or what is over a quota; `dry_run` only says what."""
    mirror, body = mirror_of(call), call.body
    path, package, quota = body.get("path"), body.get("package"), body.get("quota")
    if isinstance(path, str):
        rows = [_kept(call, path)]
    elif isinstance(package, str):
        rows = [row for row in mirror.copies.all() if _is_of(row, package)]
        if not rows:
            raise NotFound(f"nothing of {package} is kept")
    elif isinstance(quota, int) and quota >= 0:
        rows = await mirror.over_quota(quota)
    else:
        raise Invalid({"path": "say what: a path, a package, or a quota"})
    value = [_row(mirror, row) for row in rows]
    if body.get("dry_run") is not True:
        mirror.evict(rows)
        await mirror.copies.flush()
    return answer(value)


@routes.get("/mirror/stats", allow=OPERATOR)
async def stats(call: Call) -> StreamResponse:
    """How much is kept, how requests were answered, how the upstream does."""
    return answer(statistics(mirror_of(call)))


def statistics(mirror: Mirror) -> dict[str, object]:
    """Sums of the mirror."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for row in mirror.copies.all():
        kind = row.path.partition("/")[0]
        counts[kind] += 1
        sizes[kind] += row.size
    circuit = mirror.upstream.circuit
    return {
        "kept": {kind: {"files": counts[kind], "bytes": sizes[kind]} for kind in sorted(counts)},
        "quota": mirror.quota,
        "answers": dict(mirror.mirrored.answers),
        "refused": dict(mirror.rule_book.refused),
        "upstream": {
            "url": mirror.upstream.settings.urls["repo"],
            "offline": mirror.upstream.settings.offline,
            "circuit": circuit.state,
            "last_error": circuit.last_error,
            "requests": dict(mirror.upstream.results),
            "under_way": mirror.mirrored.under_way,
        },
    }
