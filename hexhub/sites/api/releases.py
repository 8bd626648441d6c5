"""Releases: publish, show, revert (http-api.md §3.7)."""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from functools import partial
from typing import TypeAlias, TypeVar

from aiohttp.web import StreamResponse

from hexhub.domain import candidates, downloads, permissions, releases, rules
from hexhub.domain.candidates import Candidate
from hexhub.errors import Invalid, Malformed
from hexhub.formats import tarball
from hexhub.formats.rate_limits import PUBLISH
from hexhub.http import bodies, otp, responses
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import PUBLIC, Package
from hexhub.sites.api import access, render, upstream
from hexhub.sites.api.packages import cache
from hexhub.sites.api.pipeline import api, known_package, repository
from hexhub.storage import Spooled

T = TypeVar("T")

routes = Routes(api)


@routes.get("/packages/{name}/releases/{version}", allow=access.READER)
@routes.get("/repos/{repository}/packages/{name}/releases/{version}", allow=access.READER)
@upstream.otherwise(upstream.release)
async def show(call: Call) -> StreamResponse:
    """One release, with its downloads as a sum or a series."""
    path = call.path
    with call.hub.store.view() as view:
        release = releases.find(view, call.actor, repository(call), path["name"], path["version"])
        by = call.parameter("downloads")
        counted: object = downloads.of_release(view, release, call.now.date())
        if by in ("day", "month"):
            counted = downloads.series(
                view,
                release,
                by=str(by),
                after=_date(call.parameter("downloads_after")),
                before=_date(call.parameter("downloads_before")),
                today=call.now.date(),
            )
        value = render.release_show(call.hub, view, release, counted)
    return responses.resource(
        call,
        value,
        cache=cache(call, release.repository),
        conditional=True,
        modified=release.updated_at,
    )


def _date(value: object) -> date | None:
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        return None


@routes.post("/packages/{name}/releases", allow=access.PUBLISHER, group=PUBLISH)
@routes.post("/repos/{repository}/packages/{name}/releases", allow=access.PUBLISHER, group=PUBLISH)
async def publish_named(call: Call) -> StreamResponse:
    """Publish; whether the caller may is known before the body is read."""
    with call.hub.store.view() as view:
        permissions.require_owner(
            view, call.actor, repository(call), call.path["name"], "maintainer"
        )
    async with bodies.upload(call) as spooled:
        read = await in_unpacking(call, spooled, tarball.read, tarball.read_quickly)
        if read.metadata.get("name") != call.path["name"]:
            raise Invalid({"name": "metadata does not match package name"})
        known = known_package(call, call.path["name"])
        candidate = candidates.check(read, repository(call), new=known is None)
        return await _publish(call, spooled, candidate)


@routes.post("/publish", allow=access.UPLOADER, group=PUBLISH)
@routes.post("/repos/{repository}/publish", allow=access.UPLOADER, group=PUBLISH)
async def publish(call: Call) -> StreamResponse:
    """Publish; which package it is stands in the tarball (Hex 2.2 and older, Gleam)."""
    async with bodies.upload(call) as spooled:
        # All at once where it cannot be long; the order of judging stays the same.
        if spooled.data and not call.actor.anonymous:
            quickly = partial(_read_both, read=tarball.read_quickly)
            first, whole = await in_unpacking(call, spooled, _read_both, quickly)
        else:
            first, whole = await in_unpacking(call, spooled, _read_first)
        permissions.require_credentials(call.actor)
        permissions.require_verified(call.actor)
        name = str(first.metadata.get("name"))
        if rules.package_name(name) not in (None, rules.RESERVED):
            permissions.require_write(call.actor)
            raise Invalid({"name": rules.package_name(first.metadata.get("name")) or rules.BLANK})
        known = known_package(call, name)
        permissions.require_write(call.actor, known)
        otp.check_write(call)
        with call.hub.store.view() as view:
            permissions.require_owner(view, call.actor, repository(call), name, "maintainer")
        if whole is None:
            whole = await in_unpacking(call, spooled, tarball.read)
        if isinstance(whole, Malformed):
            raise Invalid({"tar": str(whole)})
        candidate = candidates.check(whole, repository(call), new=known is None)
        return await _publish(call, spooled, candidate)


Reading: TypeAlias = tuple[tarball.Tarball, tarball.Tarball | Malformed | None]
"""The metadata, and what was found out about all of it already."""


def _read_first(data: tarball.Buffer) -> Reading:
    return tarball.read_metadata(data), None


def _read_both(
    data: tarball.Buffer, read: Callable[[tarball.Buffer], tarball.Tarball] = tarball.read
) -> Reading:
    try:
        whole = read(data)
    except Malformed as error:
        return tarball.read_metadata(data), Malformed(str(error))
    return whole, whole


async def in_unpacking(
    call: Call,
    spooled: Spooled,
    read: Callable[[tarball.Buffer], T],
    read_quickly: Callable[[tarball.Buffer], T] | None = None,
) -> T:
    """Run a reader over a spooled body on a thread. Raises Invalid for the field `tar`.

    `read_quickly` does the same at once for a small one, or raises TakesLonger.
    """

    def run() -> T:
        if spooled.size == 0:
            raise Malformed("empty tarball")
        if spooled.data is not None:
            return read(spooled.data)
        with spooled.path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            return read(data)
        except Malformed as error:
            problem = str(error)  # kept alone: the frames of the error hold views of the map
        finally:
            with suppress(BufferError):
                data.close()
        raise Malformed(problem)

    try:
        if read_quickly is not None and spooled.data:
            with suppress(tarball.TakesLonger):
                return read_quickly(spooled.data)
        return await asyncio.get_running_loop().run_in_executor(call.hub.unpacking, run)
    except Malformed as error:
        raise Invalid({"tar": str(error)}) from error


async def _publish(call: Call, spooled: Spooled, candidate: Candidate) -> StreamResponse:
    """Blob first, then one transaction: a pointer to nothing can never exist.

    The rules are asked before the blob is put, so a publish that they refuse leaves nothing behind.
    """
    hub = call.hub
    arguments = (
        call.origin,
        repository(call),
        candidate,
        call.parameter("replace") in (None, True, "true"),
        hub.dependency_check,
        call.now,
        await _upstream_says(call, candidate),
    )
    try:
        published = await hub.store.transact_behind(
            partial(hub.storage.put, spooled), releases.publish, *arguments
        )
    except releases.AlreadyPublished:
        call.message = responses.quoted_message("this exact release is already published")
        raise
    release = published.release
    with hub.store.view() as view:
        value = render.release_published(hub, view, release)
    return responses.resource(
        call,
        value,
        status=200 if published.replaced else 201,
        cache=cache(call, release.repository),
        location=None
        if published.replaced
        else f"/api/packages/{release.package}/releases/{release.version}",
    )


async def _upstream_says(call: Call, candidate: Candidate) -> releases.UpstreamSays:
    """Whether the name is free there, and what the requirements lack (design §7, §10)."""
    hub, mirror = call.hub, call.hub.mirror
    if mirror is None:
        return releases.NOTHING
    with hub.store.view() as view:
        new = view.get(Package, repository(call), candidate.name) is None
        asked = {
            requirement.package
            for requirement in candidate.requirements
            if requirement.repository == PUBLIC
            and view.get(Package, PUBLIC, requirement.package) is None
        }
    if not new and not asked:
        return releases.NOTHING
    return releases.UpstreamSays(
        await mirror.clash(candidate.name) if new else "none",
        await mirror.lacks(asked) if hub.dependency_check == "upstream" else frozenset(),
    )


@routes.delete("/packages/{name}/releases/{version}", allow=access.PUBLISHER)
@routes.delete("/repos/{repository}/packages/{name}/releases/{version}", allow=access.PUBLISHER)
async def revert(call: Call) -> StreamResponse:
    """Take a release away."""
    await call.hub.store.transact(
        releases.revert,
        call.origin,
        repository(call),
        call.path["name"],
        call.path["version"],
        call.now,
    )
    return responses.empty()
