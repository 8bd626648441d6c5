"""The operator's word about names that are here, at the upstream, or reserved (design §7)."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from hexhub.domain import upstream_names
from hexhub.domain.audit import OPERATOR as BY_OPERATOR
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import AllowedName, ReservedName
from hexhub.sites.operator.pipeline import OPERATOR, answer, control

routes = Routes(control)


def _allowed(row: AllowedName) -> dict[str, object]:
    return {
        "repository": row.repository,
        "name": row.name,
        "wins": row.wins,
        "created_at": row.created_at,
    }


@routes.get("/names/allowed", allow=OPERATOR)
async def list_allowed(call: Call) -> StreamResponse:
    """Names that may be here although the upstream has them."""
    with call.hub.store.view() as view:
        return answer([_allowed(row) for row in view.scan(AllowedName)])


@routes.post("/names/allowed", allow=OPERATOR)
async def allow(call: Call) -> StreamResponse:
    """Allow a name in a repository, and say which side wins."""
    body = call.body
    row = await call.hub.store.transact(
        upstream_names.allow,
        BY_OPERATOR,
        str(body.get("repository")),
        str(body.get("name")),
        str(body.get("wins", "own")),
        call.now,
    )
    return answer(_allowed(row), 201)


@routes.delete("/names/allowed/{repository}/{name}", allow=OPERATOR)
async def disallow(call: Call) -> StreamResponse:
    """Take that word back."""
    repository, name = call.path["repository"], call.path["name"]
    await call.hub.store.transact(upstream_names.disallow, BY_OPERATOR, repository, name, call.now)
    return answer({"repository": repository, "name": name})


@routes.get("/names/clashes", allow=OPERATOR)
async def clashes(call: Call) -> StreamResponse:
    """Packages of ours whose name is at the upstream, or could not be checked yet."""
    with call.hub.store.view() as view:
        return answer(
            [
                {"repository": each.repository, "name": each.name, "clash": each.clash}
                for each in upstream_names.clashes(view)
            ]
        )


@routes.get("/names/reserved", allow=OPERATOR)
async def list_reserved(call: Call) -> StreamResponse:
    """Patterns of names that are never asked of the upstream."""
    with call.hub.store.view() as view:
        return answer(
            [
                {"pattern": row.pattern, "created_at": row.created_at}
                for row in view.scan(ReservedName)
            ]
        )


@routes.post("/names/reserved", allow=OPERATOR)
async def reserve(call: Call) -> StreamResponse:
    """Reserve names by a pattern."""
    row = await call.hub.store.transact(
        upstream_names.reserve, BY_OPERATOR, call.body.get("pattern"), call.now
    )
    return answer({"pattern": row.pattern}, 201)


@routes.delete("/names/reserved/{pattern}", allow=OPERATOR)
async def release(call: Call) -> StreamResponse:
    """Take a reservation back."""
    pattern = call.path["pattern"]
    await call.hub.store.transact(upstream_names.release, BY_OPERATOR, pattern, call.now)
    return answer({"pattern": pattern})
