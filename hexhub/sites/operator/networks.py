"""Block networks, or free them of rate limits."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from hexhub.domain import audit, networks
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import KnownNetwork
from hexhub.sites.operator.pipeline import OPERATOR, answer, control

routes = Routes(control)


def _shown(row: KnownNetwork) -> dict[str, object]:
    return {
        "network": row.network,
        "rule": row.rule,
        "reason": row.reason,
        "created_at": row.created_at,
    }


@routes.get("/networks", allow=OPERATOR)
async def index(call: Call) -> StreamResponse:
    """Every network that is treated apart."""
    with call.hub.store.view() as view:
        return answer([_shown(row) for row in networks.known(view)])


@routes.post("/networks", allow=OPERATOR)
async def put(call: Call) -> StreamResponse:
    """Block a network, or free it of limits."""
    body = call.body
    row = await call.hub.store.revoke(
        networks.put,
        audit.OPERATOR,
        body.get("network"),
        body.get("rule"),
        body.get("reason"),
        call.now,
    )
    return answer(_shown(row), 201)


@routes.post("/networks/forget", allow=OPERATOR)
async def forget(call: Call) -> StreamResponse:
    """Treat a network as any other again."""
    await call.hub.store.transact(
        networks.forget, audit.OPERATOR, call.body.get("network"), call.now
    )
    return answer({"network": call.body.get("network")})
