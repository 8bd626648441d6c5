"""Move packages; remove packages, releases and organizations for good."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp.web import StreamResponse

from hexhub.domain import audit, moves, removals
from hexhub.errors import Invalid
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.operator.pipeline import OPERATOR, answer, control

routes = Routes(control)

PACKAGE = "/repos/{repository}/packages/{name}"


@routes.post(f"{PACKAGE}/remove", allow=OPERATOR)
async def package(call: Call) -> StreamResponse:
    """Remove a package."""
    repository, name = call.path["repository"], call.path["name"]
    await call.hub.store.transact(
        removals.remove_package,
        audit.OPERATOR,
        repository,
        name,
        call.body.get("reason"),
        call.now,
    )
    return answer({"repository": repository, "name": name})


@routes.post(f"{PACKAGE}/move", allow=OPERATOR)
async def move(call: Call) -> StreamResponse:
    """Move a package to another repository."""
    moved = await call.hub.store.transact(
        moves.move,
        audit.OPERATOR,
        call.path["repository"],
        call.path["name"],
        str(call.body.get("to")),
        call.now,
    )
    return answer({"repository": moved.repository, "name": moved.name})


@routes.post(f"{PACKAGE}/releases/{{version}}/remove", allow=OPERATOR)
async def release(call: Call) -> StreamResponse:
    """Remove a release."""
    path = call.path
    await call.hub.store.transact(
        removals.remove_release,
        audit.OPERATOR,
        path["repository"],
        path["name"],
        path["version"],
        call.body.get("reason"),
        call.now,
    )
    return answer(dict(path))


@routes.get("/orgs/{organization}/extent", allow=OPERATOR)
async def extent(call: Call) -> StreamResponse:
    """What would go with an organization."""
    with call.hub.store.view() as view:
        return answer(asdict(removals.extent(view, call.path["organization"])))


@routes.post("/orgs/{organization}/remove", allow=OPERATOR)
async def organization(call: Call) -> StreamResponse:
    """Remove an organization: its packages one by one, then itself."""
    store, name, reason = call.hub.store, call.path["organization"], call.body.get("reason")
    with store.view() as view:
        there = removals.extent(view, name)
    if there.left_without_owner:
        listed = ", ".join(there.left_without_owner[:10])
        raise Invalid({"organization": f"is the only owner of public packages: {listed}"})
    for each in there.packages:
        await store.transact(removals.remove_package, audit.OPERATOR, name, each, reason, call.now)
    await store.transact(removals.remove_organization, audit.OPERATOR, name, reason, call.now)
    return answer(asdict(there))
