"""What an owner does with a package in the browser: retire releases, say who owns it."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp.web import StreamResponse

from hexhub.domain import owners, releases
from hexhub.errors import Errors, Invalid
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.web import package, pages, reading
from hexhub.sites.web.account import CONFIRMED, forms, text

routes = Routes(forms)

PATH = "/manage/{repository}/{name}"


def _to_package(call: Call) -> str:
    return reading.package_path(call.path["repository"], call.path["name"]) + "?show=manage"


@routes.get(PATH + "/{act}", allow=CONFIRMED)
async def back(call: Call) -> StreamResponse:
    """Where one lands after giving the password again."""
    return pages.redirect(_to_package(call))


@routes.post(PATH + "/retire", allow=CONFIRMED)
async def retire(call: Call) -> StreamResponse:
    """Say that a release should no longer be used, and why."""
    try:
        await call.hub.store.transact(
            releases.retire,
            call.origin,
            call.path["repository"],
            call.path["name"],
            text(call, "version"),
            releases.retirement(text(call, "reason"), text(call, "message") or None),
            call.now,
        )
    except Invalid as error:
        return await _wrong(call, error)
    return pages.redirect(_to_package(call))


@routes.post(PATH + "/unretire", allow=CONFIRMED)
async def unretire(call: Call) -> StreamResponse:
    """Take that back."""
    await call.hub.store.transact(
        releases.unretire,
        call.origin,
        call.path["repository"],
        call.path["name"],
        text(call, "version"),
        call.now,
    )
    return pages.redirect(_to_package(call))


@routes.post(PATH + "/owner", allow=CONFIRMED)
async def add_owner(call: Call) -> StreamResponse:
    """Make somebody an owner, or change how much they may."""
    try:
        await call.hub.store.revoke(
            owners.put,
            call.origin,
            call.path["repository"],
            call.path["name"],
            text(call, "who"),
            text(call, "level") or None,
            transfer=False,
            now=call.now,
        )
    except Invalid as error:
        return await _wrong(call, error)
    return pages.redirect(_to_package(call))


@routes.post(PATH + "/disown", allow=CONFIRMED)
async def remove_owner(call: Call) -> StreamResponse:
    """Take somebody from the owners."""
    try:
        await call.hub.store.revoke(
            owners.remove,
            call.origin,
            call.path["repository"],
            call.path["name"],
            text(call, "who"),
            call.now,
        )
    except Invalid as error:
        return await _wrong(call, error)
    return pages.redirect(_to_package(call))


async def _wrong(call: Call, error: Invalid) -> StreamResponse:
    """The page again, with what is wrong."""
    repository, name = call.path["repository"], call.path["name"]
    response = await package.shown(call, repository, name, tab="manage", wrong=_words(error.errors))
    response.set_status(422)
    return response


def _words(errors: Errors) -> str:
    parts = []
    for field, value in errors.items():
        parts.append(_words(value) if isinstance(value, Mapping) else f"{field} {value}")
    return "; ".join(parts)
