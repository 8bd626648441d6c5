"""The repository that Hex clients resolve against and fetch from (registry.md §1, §5, §7).

The same tree at the root, under `/repo`, and for each organization under `/repos/R` of both.
Never a 401, which would start an interactive login that hangs CI: what may not be read is not there.
"""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp.web import Response, StreamResponse

from cluster import ClusterError
from hexhub.domain import permissions
from hexhub.domain.actors import Actor
from hexhub.domain.releases import PACKAGE_WINDOW
from hexhub.errors import HubError, NotFound, Unauthenticated
from hexhub.formats import resource_path
from hexhub.http import auth, blobs, hits, responses
from hexhub.http.call import Call
from hexhub.http.learning import Ticket
from hexhub.http.routes import Access, Handler, Route, Routes
from hexhub.repositories.mirror import Mirror
from hexhub.schema import PUBLIC, Package, Policy, Release
from hexhub.sites import repo_mirror
from hexhub.storage.local import LocalStorage
from hexhub.storage.peers import PeerStorage

READER = Access("who may fetch from the repository")
ANYONE = Access("anyone")
POLICY_READER = Access("who may read the policy")

OCTETS = "application/octet-stream"
REVALIDATE = "max-age=0, must-revalidate"


async def _repo(call: Call, handler: Handler) -> StreamResponse:
    try:
        if call.route.allow is READER:
            await _require_fetch(call)
        return await handler(call)
    except (HubError, ClusterError) as error:
        return responses.error_text(call, error)


async def _require_fetch(call: Call) -> None:
    """Raise NotFound, the same as for a name that does not exist, unless this may be read."""
    if _repository(call) == PUBLIC and call.hub.anonymous_read == "true":
        return
    if call.hub.test_mode and call.route.pattern.startswith("/repo/"):
        return  # the Hex client's suite fetches from organizations without credentials (§9)
    actor = await _actor(call)
    mirrored = call.hub.mirror is not None and call.hub.anonymous_read == "mirror"
    with call.hub.store.view() as view:
        allowed = (
            not actor.anonymous or mirrored
            if _repository(call) == PUBLIC
            else permissions.may_fetch(view, actor, _repository(call))
        )
    if not allowed:
        raise NotFound
    call.actor = actor


async def _actor(call: Call) -> Actor:
    try:
        if auth.header(call) is not None:
            await auth.current(call)
        return await auth.repository_actor(call)
    except auth.RevokedKey as error:
        # Only the holder of the key hears this; to others the path does not exist.
        call.message = responses.quoted_message(str(error))
        raise NotFound from None
    except Unauthenticated:
        raise NotFound from None


def _repository(call: Call) -> str:
    return call.path.get("repository", PUBLIC).removeprefix("hexpm:")


def _scope(call: Call) -> str:
    """Whether shared caches may keep an answer."""
    return "public" if call.actor.anonymous and _repository(call) == PUBLIC else "private"


open_routes = Routes(_repo)
routes = Routes(_repo)


@routes.get("/names", allow=READER)
@routes.get("/versions", allow=READER)
@routes.get("/packages/{name}", allow=READER)
async def registry(call: Call) -> StreamResponse:
    """A signed resource of the registry: ours, else the upstream's (design §7)."""
    name = call.path.get("name")
    path = f"packages/{name}" if name else call.route.pattern.rpartition("/")[2]
    mirror = _mirror(call)
    if mirror is not None and (name is None or not _is_ours(call, mirror, name)):
        if call.route.pattern.startswith("/repo/"):
            if name is None and not _sees_ours(call):
                raise NotFound
            return await repo_mirror.shelved(call, path, _scope(call))
        return await repo_mirror.transparent(call, mirror, path, _scope(call))
    _expect_again(call, name or "")
    with repo_mirror.telling(call):
        signed = await call.hub.held_back.get(_repository(call), path)
    headers = {"Content-Type": OCTETS, "Cache-Control": f"{_scope(call)}, {REVALIDATE}"}
    return repo_mirror.signed(call, signed, headers)


def _expect_again(
    call: Call,
    package: str,
    *,
    for_s: float | None = None,
    counted: hits.What = (),
) -> None:
    """Let the answer be sent again without us: to everyone, or to who shows the same credential.

    `for_s` bounds how long it stays true. To be called before the rows of the package are looked at.
    """
    hub, repository = call.hub, _repository(call)
    if call.hot is None or (repository != PUBLIC and hub.held_back.rules.of(repository).rules):
        return  # rules hold back by time, too
    topic = (repository, package)
    until = None if for_s is None else call.now.timestamp() + for_s
    files = isinstance(hub.storage, LocalStorage | PeerStorage)
    if not call.actor.anonymous:
        call.ticket = auth.ticket(call, topic, until, counted, files=files)
    elif _scope(call) == "public" and _sees_ours(call):
        call.ticket = Ticket(
            stamp=hub.topics.stamp(topic),
            until=until,
            public=files,  # a bucket is another place, where no credential is sent to
            counted=counted,
            files=files,
        )


def _mirror(call: Call) -> Mirror | None:
    """The mirror, where the upstream has a part in what is served."""
    return call.hub.mirror if _repository(call) == PUBLIC else None


def _sees_ours(call: Call) -> bool:
    """Whether public packages of ours are for this caller (ANONYMOUS_READ)."""
    return call.hub.anonymous_read == "true" or not call.actor.anonymous


def _is_ours(call: Call, mirror: Mirror, name: str) -> bool:
    if name in mirror.preferred or not _sees_ours(call):
        return False
    with call.hub.store.view() as view:
        return view.get(Package, PUBLIC, name) is not None


@routes.get("/tarballs/{file}", allow=READER)
async def tarball(call: Call) -> StreamResponse:
    """A package tarball, byte for byte as published. Counted as a download."""
    hub = call.hub
    path = f"tarballs/{call.path['file']}"
    mirror = _mirror(call)
    if mirror is not None and not _is_ours(call, mirror, call.path["file"].partition("-")[0]):
        return await repo_mirror.tarball(call, mirror, path, _scope(call))
    release = _release(call, path)
    with repo_mirror.telling(call):
        hub.held_back.require_free(release)
    # A release may be replaced while its package is young; after that it never changes.
    settled = call.now - release.created_at > PACKAGE_WINDOW and release.repository == PUBLIC
    age = "max-age=604800" if settled else REVALIDATE
    left = (release.created_at + PACKAGE_WINDOW - call.now).total_seconds()
    _expect_again(
        call,
        release.package,
        for_s=None if settled else left,
        counted=hits.download(release),
    )
    response = await blobs.answer(
        call.request,
        hub.storage,
        hub.small_blobs,
        release.outer_checksum,
        {"Content-Type": OCTETS, "Cache-Control": f"{_scope(call)}, {age}"},
        elsewhere=release.repository == PUBLIC and hub.anonymous_read == "true",
    )
    if call.request.method == "GET" and response.status in (200, 302, 304):
        hub.counters.download(release, call.now)
    return response


@routes.get("/docs/{file}", allow=READER)
async def docs_archive(call: Call) -> StreamResponse:
    """The docs archive of a release."""
    path = f"docs/{call.path['file']}"
    mirror = _mirror(call)
    if mirror is not None and not _is_ours(call, mirror, call.path["file"].partition("-")[0]):
        return await repo_mirror.docs_archive(call, mirror, path, _scope(call))
    release = _release(call, path)
    if release.docs_checksum is None:
        raise NotFound
    _expect_again(call, release.package)
    return await blobs.answer(
        call.request,
        call.hub.storage,
        call.hub.small_blobs,
        release.docs_checksum,
        {"Content-Type": OCTETS, "Cache-Control": f"{_scope(call)}, {REVALIDATE}"},
    )


@open_routes.get("/repos/{repository}/policies/{policy}", allow=POLICY_READER)
async def policy(call: Call) -> StreamResponse:
    """A signed dependency policy: a public one for everyone, a private one for members."""
    name = call.path["policy"]
    with call.hub.store.view() as view:
        found = view.get(Policy, _repository(call), name)
    public = found is not None and found.visibility == "public"
    if not public or call.hub.anonymous_read != "true":
        await _require_fetch(call)
    signed = await call.hub.own.get(_repository(call), f"policies/{name}")
    age = "public, max-age=600" if public else "private, max-age=60"
    headers = {"Content-Type": OCTETS, "Cache-Control": age}
    return repo_mirror.signed(call, signed, headers)


def _release(call: Call, path: str) -> Release:
    wanted = resource_path.parse(path)
    if wanted is None or wanted.version is None or wanted.name is None:
        raise NotFound
    with call.hub.store.view() as view:
        release = view.get(Release, _repository(call), wanted.name, wanted.version)
    if release is None:
        raise NotFound
    return release


@open_routes.get("/public_key", allow=ANYONE)
@open_routes.get("/repos/{repository}/public_key", allow=ANYONE)
async def public_key(call: Call) -> StreamResponse:
    """This hub's key. Answered always: a failure here poisons a client's configuration."""
    return Response(
        body=call.hub.public_key_pem,
        headers={"Content-Type": "application/x-pem-file", "Cache-Control": "public, max-age=3600"},
    )


@open_routes.get("/installs/{file*}", allow=ANYONE)
async def installs(call: Call) -> StreamResponse:
    """Builds of Hex and rebar3, from the upstream. Without one an empty list, which is silent."""
    if call.hub.mirror is not None:
        return await repo_mirror.install(call, call.hub.mirror, call.path["file"])
    if call.path["file"] != "hex-1.x.csv":
        raise NotFound
    return Response(
        body=b"", headers={"Content-Type": "text/csv", "Cache-Control": "public, max-age=3600"}
    )


def all_routes() -> Iterator[Route]:
    """The repository at each of its addresses."""
    for base in ("", "/repo"):
        yield from open_routes.under(base)
        yield from routes.under(base)
        yield from routes.under(f"{base}/repos/{{repository}}")
