"""Take in releases that were published elsewhere, byte for byte, on behalf of an account here."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial

from aiohttp.web import StreamResponse

from hexhub.domain import candidates, docs, owners, releases
from hexhub.domain.actors import Actor
from hexhub.domain.audit import Origin
from hexhub.errors import BadRequest, Invalid, Malformed, NotFound
from hexhub.formats import docs_archive, tarball
from hexhub.http import bodies
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import PUBLIC, Organization, Owner, Package, Release, User
from hexhub.sites.operator.pipeline import OPERATOR, answer, control

routes = Routes(control)


def _repository(call: Call) -> str:
    name = call.query.get("repository", PUBLIC)
    with call.hub.store.view() as view:
        if name != PUBLIC and view.get(Organization, name) is None:
            raise NotFound(f"there is no organization {name}")
    return name


def _origin(call: Call, name: str) -> Origin:
    with call.hub.store.view() as view:
        user = view.get(User, name)
    if user is None:
        raise NotFound(f"there is no user {name}")
    return Origin(Actor(user=user), "", "hexhub import")


def _publisher(call: Call, repository: str, package: str) -> Origin:
    """Who publishes: an owner of the package where there is one, else who was named."""
    with call.hub.store.view() as view:
        for owner in view.scan(Owner, repository, package):
            if owner.level == owners.FULL and view.get(User, owner.username) is not None:
                return _origin(call, owner.username)
    return _origin(call, call.query.get("user", ""))


@routes.post("/import/release", allow=OPERATOR)
async def release(call: Call) -> StreamResponse:
    """A tarball. `state`: imported or there.

    `outer`, `inner`, `package` and `version` are what its registry says of it, where one was asked.
    """
    hub, repository = call.hub, _repository(call)
    async with bodies.upload(call) as spooled:
        if call.query.get("outer") not in (None, spooled.checksum.hex()):
            raise Invalid({"tar": "does not have the checksum that its registry names"})
        body = await asyncio.to_thread(spooled.read)
        try:
            read = await asyncio.to_thread(tarball.read, body)
        except Malformed as error:
            raise Invalid({"tar": str(error)}) from None
        name = str(read.metadata.get("name"))
        _compare(call, read)
        with hub.store.view() as view:
            new = view.get(Package, repository, name) is None
        candidate = candidates.check(read, repository, new=new)
        value = {"package": candidate.name, "version": candidate.version}
        with hub.store.view() as view:
            found = view.get(Release, repository, candidate.name, candidate.version)
        if found is not None:
            if found.outer_checksum != spooled.checksum:
                raise Invalid({"version": "is here with other bytes"})
            return answer(value | {"state": "there"})
        if call.query.get("dry_run") == "true":
            return answer(value | {"state": "would be imported"})
        origin = _publisher(call, repository, candidate.name)
        # What it needs may come later, or never: it was good where it was published.
        arguments = (origin, repository, candidate, False, "off", call.now)
        # Nobody wants a mail for each of a thousand releases that are years old, nor should a
        # cooldown hold them back as if they were new.
        await hub.store.transact_behind(
            partial(hub.storage.put, spooled),
            releases.publish,
            *arguments,
            tell=False,
            published_at=_published_at(call),
        )
    return answer(value | {"state": "imported"})


def _published_at(call: Call) -> datetime | None:
    """When it was published where it comes from. Raises BadRequest."""
    text = call.query.get("published_at")
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest("published_at must be in ISO 8601") from None
    if moment.tzinfo is None:
        raise BadRequest("published_at must have a time zone")
    return moment.astimezone(UTC)


def _compare(call: Call, read: tarball.Tarball) -> None:
    """Raises Invalid for a tarball that is another than its registry names."""
    for field, seen in (
        ("inner", read.inner_checksum.hex()),
        ("package", str(read.metadata.get("name"))),
        ("version", str(read.metadata.get("version"))),
    ):
        if call.query.get(field) not in (None, seen):
            raise Invalid({"tar": f"has another {field} than its registry names"})


@routes.get("/import/releases", allow=OPERATOR)
async def here(call: Call) -> StreamResponse:
    """What is here of `package`: version, outer checksum, whether retired and with docs."""
    repository = _repository(call)
    with call.hub.store.view() as view:
        found = list(view.scan(Release, repository, call.query.get("package", "")))
    return answer(
        [
            {
                "version": each.version,
                "outer": each.outer_checksum.hex(),
                "retired": each.retirement is not None,
                "docs": each.has_docs,
            }
            for each in found
        ]
    )


@routes.post("/import/docs", allow=OPERATOR)
async def documentation(call: Call) -> StreamResponse:
    """The docs archive of `package` and `version`."""
    hub, repository = call.hub, _repository(call)
    package, version = call.query.get("package", ""), call.query.get("version", "")
    async with bodies.upload(call) as spooled:
        body = await asyncio.to_thread(spooled.read)
        try:
            await asyncio.to_thread(docs_archive.check, body)
        except Malformed as error:
            raise Invalid({"tar": str(error)}) from None
        with hub.store.view() as view:
            found = view.get(Release, repository, package, version)
        if found is not None and found.docs_checksum == spooled.checksum:
            return answer({"state": "there"})
        if call.query.get("dry_run") == "true":
            return answer({"state": "would be imported"})
        if found is None:
            raise NotFound(f"there is no release {package} {version}")
        origin = _publisher(call, repository, package)
        await hub.store.transact_behind(
            partial(hub.storage.put, spooled),
            docs.publish,
            *(origin, repository, package, version, spooled.checksum, call.now),
        )
    return answer({"state": "imported"})


@routes.post("/import/owner", allow=OPERATOR)
async def owner(call: Call) -> StreamResponse:
    """Make `username` an owner of `package`, if it is not one."""
    body, repository = call.body, _repository(call)
    package, username = body.get("package"), body.get("username")
    if not isinstance(package, str) or not isinstance(username, str):
        raise BadRequest("package and username are texts")
    with call.hub.store.view() as view:
        if view.get(Owner, repository, package, username) is not None:
            return answer({"state": "there"})
    await call.hub.store.transact(
        owners.put,
        _publisher(call, repository, package),
        repository,
        package,
        username,
        body.get("level"),
        transfer=False,
        now=call.now,
        tell=False,
    )
    return answer({"state": "imported"})


@routes.post("/import/retirement", allow=OPERATOR)
async def retirement(call: Call) -> StreamResponse:
    """Retire `package` `version` for `reason`, with `message`."""
    body, repository = call.body, _repository(call)
    package = str(body.get("package"))
    await call.hub.store.transact(
        releases.retire,
        _publisher(call, repository, package),
        repository,
        package,
        str(body.get("version")),
        releases.retirement(body.get("reason"), body.get("message")),
        call.now,
    )
    return answer({"state": "imported"})
