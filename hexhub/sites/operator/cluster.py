"""What the operator does with the cluster: see it, join, leave, remove a member, move the leader."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from hexhub.errors import Invalid
from hexhub.http import membership
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.operator.pipeline import OPERATOR, answer, control

routes = Routes(control)


@routes.get("/cluster", allow=OPERATOR)
async def show(call: Call) -> StreamResponse:
    """The members as this node sees them."""
    value = membership.state(call.hub.node, call.hub.storage.behind, insider=True)
    return answer(value, 200 if value["quorum"] else 503)


@routes.get("/cluster/clocks", allow=OPERATOR)
async def clocks(call: Call) -> StreamResponse:
    """How many seconds each other member's clock is ahead of this node's; null: no answer."""
    return answer(await call.hub.clocks.ahead() if call.hub.clocks else {})


@routes.post("/cluster/join", allow=OPERATOR)
async def join(call: Call) -> StreamResponse:
    """Join the cluster of `target`; `discard` names this node when its data may go."""
    return answer(
        await membership.join(call.hub, call.body.get("target"), call.body.get("discard"))
    )


@routes.post("/cluster/leave", allow=OPERATOR)
async def leave(call: Call) -> StreamResponse:
    """Leave the cluster."""
    return answer(await membership.leave(call.hub))


@routes.post("/cluster/members/{name}/remove", allow=OPERATOR)
async def remove(call: Call) -> StreamResponse:
    """Take a member out that will not come back."""
    return answer(await membership.remove(call.hub, call.path["name"]))


@routes.post("/cluster/transfer", allow=OPERATOR)
async def transfer(call: Call) -> StreamResponse:
    """Let another member lead: `to`, or whoever is furthest."""
    to = call.body.get("to")
    if to is not None and not isinstance(to, str):
        raise Invalid({"to": "must be the name of a member"})
    return answer(await membership.transfer(call.hub, to))


@routes.post("/cluster/snapshot", allow=OPERATOR)
async def snapshot(call: Call) -> StreamResponse:
    """Write a snapshot of the tables now."""
    folder = await call.hub.node.snapshot()
    return answer({"folder": str(folder)})
