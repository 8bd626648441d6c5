"""What the operator does with dependency policies."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from hexhub.domain import audit, organizations, policies
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.operator.pipeline import OPERATOR, answer, control

routes = Routes(control)


@routes.get("/orgs/{organization}/policies", allow=OPERATOR)
async def index(call: Call) -> StreamResponse:
    """The policies of an organization."""
    with call.hub.store.view() as view:
        name = organizations.find(view, call.path["organization"]).name
        return answer([policies.shown(row) for row in policies.all_of(view, name)])


@routes.put("/orgs/{organization}/policies/{policy}", allow=OPERATOR)
async def put(call: Call) -> StreamResponse:
    """Make or change a policy."""
    row = await call.hub.store.transact(
        policies.put,
        audit.OPERATOR,
        call.path["organization"],
        call.path["policy"],
        dict(call.body),
        call.now,
    )
    return answer(policies.shown(row))


@routes.delete("/orgs/{organization}/policies/{policy}", allow=OPERATOR)
async def delete(call: Call) -> StreamResponse:
    """Take a policy away."""
    await call.hub.store.transact(
        policies.delete,
        audit.OPERATOR,
        call.path["organization"],
        call.path["policy"],
        call.now,
    )
    return answer({"name": call.path["policy"]})
