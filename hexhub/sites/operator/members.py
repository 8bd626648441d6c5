"""What the operator does with members of organizations."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from hexhub.domain import audit, organizations
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import Member
from hexhub.sites.operator.pipeline import OPERATOR, answer, control

routes = Routes(control)

MEMBERS = "/orgs/{organization}/members"


def _shown(row: Member) -> dict[str, str]:
    return {"organization": row.organization, "username": row.username, "role": row.role}


@routes.get(MEMBERS, allow=OPERATOR)
async def index(call: Call) -> StreamResponse:
    """Members by name."""
    with call.hub.store.view() as view:
        name = organizations.find(view, call.path["organization"]).name
        return answer([_shown(row) for row in organizations.rows(view, name)])


@routes.post(MEMBERS, allow=OPERATOR)
async def add(call: Call) -> StreamResponse:
    """Take a user in."""
    row = await call.hub.store.transact(
        organizations.add_member,
        audit.OPERATOR,
        call.path["organization"],
        call.body.get("name"),
        call.body.get("role"),
        call.now,
    )
    return answer(_shown(row), 201)


@routes.post(MEMBERS + "/{who}", allow=OPERATOR)
async def set_role(call: Call) -> StreamResponse:
    """Change a role."""
    row = await call.hub.store.revoke(
        organizations.set_role,
        audit.OPERATOR,
        call.path["organization"],
        call.path["who"],
        call.body.get("role"),
        call.now,
    )
    return answer(_shown(row))


@routes.delete(MEMBERS + "/{who}", allow=OPERATOR)
async def remove(call: Call) -> StreamResponse:
    """Let a member go."""
    await call.hub.store.revoke(
        organizations.remove_member,
        audit.OPERATOR,
        call.path["organization"],
        call.path["who"],
        call.now,
    )
    return answer({"username": call.path["who"]})
