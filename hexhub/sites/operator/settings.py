"""Settings of the running node: reading them again."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp.web import StreamResponse

from hexhub.errors import BadRequest, NotFound, Refused
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.operator.pipeline import OPERATOR, answer, control

routes = Routes(control)


@routes.post("/config/reload", allow=OPERATOR)
async def reload(call: Call) -> StreamResponse:
    """Take up what may change while the node runs; `needs_restart` names the other changes."""
    if call.hub.reload is None:
        raise NotFound("this node was not started with settings that can be read again")
    try:
        return answer(asdict(await call.hub.reload()))
    except Refused as error:
        raise BadRequest(str(error)) from None
