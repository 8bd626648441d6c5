"""The tables of this node as files: giving room that nothing is kept in back to the disk."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.operator.pipeline import OPERATOR, answer, control

routes = Routes(control)


@routes.post("/compact", allow=OPERATOR)
async def compact(call: Call) -> StreamResponse:
    """Cut the log behind a snapshot and write tables and log anew; reads and writes go on."""
    before, after = await call.hub.node.compact()
    return answer({"bytes_before": before, "bytes_after": after})
