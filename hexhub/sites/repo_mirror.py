"""Answers of the repository that come from the upstream: bytes, and headers that tell the truth."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from aiohttp.web import Response, StreamResponse

from hexhub.errors import HubError, NotFound, RefusedByRule, Unavailable
from hexhub.formats import resource_path
from hexhub.http import blobs, hits, responses
from hexhub.http.call import Call
from hexhub.http.learning import Ticket
from hexhub.repositories import SignedResource
from hexhub.repositories.mirror import Mirror
from hexhub.repositories.mirrored import Copy
from hexhub.schema import PUBLIC

OCTETS = "application/octet-stream"
REVALIDATE = "max-age=0, must-revalidate"
FOR_A_MINUTE = "max-age=60"
FOR_A_WEEK = "max-age=604800"
FOR_AN_HOUR = "max-age=3600"
AGAIN_S = 1.0


def headers(copy: Copy, scope: str, age: str) -> dict[str, str]:
    """What a client and the caches between may know of a copy."""
    stale = copy.state == "stale"
    told = {
        "Content-Type": OCTETS,
        "Cache-Control": f"{scope}, {REVALIDATE if stale else age}",
        "Age": str(int(copy.age.total_seconds())),
        "X-Cache": copy.state.upper(),
    }
    if stale:
        told["Warning"] = (
            '111 - "Revalidation Failed"' if copy.failed else '110 - "Response is Stale"'
        )
    return told


async def transparent(call: Call, mirror: Mirror, path: str, scope: str) -> StreamResponse:
    """`names`, `versions` or `packages/NAME` as the upstream signed it."""

    async def find() -> Copy:
        if path in ("names", "versions"):
            return await mirror.listing(path)
        return (await mirror.package(_name(path)))[0]

    topic = path.removeprefix("packages/") if "/" in path else ""
    return await _answer(call, mirror, find, scope, FOR_A_MINUTE, topic)


async def shelved(call: Call, path: str, scope: str) -> StreamResponse:
    """The same under this hub's signature, merged and filtered."""
    shelf, mirror = call.hub.shelf, call.hub.mirror
    assert shelf is not None
    assert mirror is not None
    ticket = _ticket(call, path.removeprefix("packages/") if "/" in path else "", scope)
    if path in ("names", "versions"):
        found = await shelf.list(path)
    else:
        with telling(call):
            found = await shelf.package(_name(path))
    told = {"Content-Type": OCTETS, "Cache-Control": f"{scope}, {REVALIDATE}"}
    if found.copy is not None:
        call.ticket = ticket if found.copy.state == "hit" else None
        told = headers(found.copy, scope, FOR_A_MINUTE)
    return signed(call, found.signed, told)


def signed(call: Call, resource: SignedResource, headers: dict[str, str]) -> StreamResponse:
    """A resource of the registry, or 304."""
    headers = headers | {"ETag": resource.etag}
    if responses.is_fresh(call.request, resource.etag):
        return Response(status=304, headers=headers)
    return Response(body=resource.body, headers=headers)


async def tarball(call: Call, mirror: Mirror, path: str, scope: str) -> StreamResponse:
    """A tarball of the upstream, byte for byte."""
    wanted = _archive(path)
    # Under rules a copy on the way must not outlive a new one.
    age = REVALIDATE if mirror.rules.rules else FOR_A_WEEK
    with telling(call):
        return await _answer(
            call,
            mirror,
            lambda: mirror.tarball(wanted.name, wanted.version),
            scope,
            age,
            wanted.name,
        )


async def docs_archive(call: Call, mirror: Mirror, path: str, scope: str) -> StreamResponse:
    """A docs archive of the upstream, byte for byte."""
    wanted = _archive(path)
    return await _answer(
        call, mirror, lambda: mirror.docs(wanted.name, wanted.version), scope, FOR_AN_HOUR
    )


async def install(call: Call, mirror: Mirror, file: str) -> StreamResponse:
    """A file below `installs/`."""
    return await _answer(call, mirror, lambda: mirror.install(file), "public", FOR_A_MINUTE)


async def _answer(
    call: Call,
    mirror: Mirror,
    find: Callable[[], Awaitable[Copy]],
    scope: str,
    age: str,
    topic: str | None = None,
) -> StreamResponse:
    """`topic`: the package whose changes end that this answer is sent again; None: it never is."""
    ticket = _ticket(call, topic, scope) if topic is not None else None
    copy = await find()
    call.ticket = ticket if copy.state == "hit" else None
    try:
        return await _of(call, copy, scope, age)
    except Unavailable as lost:
        # Our bytes are lost or damaged: they are to be had where they came from.
        mirror.mirrored.forget(copy.row.path)
        try:
            again = await find()
        except HubError:
            mirror.copies.put(copy.row)  # another node may have the bytes
            raise lost from None
        return await _of(call, again, scope, age)


def _ticket(call: Call, topic: str, scope: str) -> Ticket | None:
    """Leave to send an answer again for a second, in which its age is right."""
    if call.hot is None or scope != "public" or call.hub.anonymous_read != "true":
        return None
    return Ticket(
        stamp=call.hub.topics.stamp((PUBLIC, topic)),
        until=call.now.timestamp() + AGAIN_S,
        counted=hits.MIRRORED,
    )


async def _of(call: Call, copy: Copy, scope: str, age: str) -> StreamResponse:
    hub = call.hub
    return await blobs.answer(
        call.request,
        hub.storage,
        hub.small_blobs,
        copy.row.checksum,
        headers(copy, scope, age),
    )


@contextmanager
def telling(call: Call) -> Iterator[None]:
    """Tell the person at the client which rule refused, by `x-hex-message`."""
    try:
        yield
    except RefusedByRule as error:
        call.message = responses.quoted_message(str(error))
        raise


def _name(path: str) -> str:
    resource = resource_path.parse(path)
    if resource is None:
        raise NotFound
    return resource.name


def _archive(path: str) -> resource_path.Resource:
    resource = resource_path.parse(path)
    if resource is None or not resource.version:
        raise NotFound
    return resource
