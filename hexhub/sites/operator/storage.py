"""What the objects of this node come to, and deleting those that nothing points to."""

from __future__ import annotations

from datetime import timedelta

from aiohttp.web import StreamResponse

from hexhub.domain import objects
from hexhub.errors import BadRequest
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.operator.pipeline import OPERATOR, answer, control

routes = Routes(control)
GRACE_S = 24 * 3600
"""An upload is an object before anything points to it: younger ones are never swept."""
GRACE_MIN_S = 3600
LISTED_MAX = 1000


@routes.get("/storage", allow=OPERATOR)
async def stats(call: Call) -> StreamResponse:
    """Counts and bytes of what is kept, and of what nothing points to."""
    hub = call.hub
    with hub.store.view() as view:
        keep = set(objects.pointed_to(view))
    count = size = stray = stray_size = 0
    async for checksum, each, _ in hub.storage.names():
        count, size = count + 1, size + each
        if checksum not in keep:
            stray, stray_size = stray + 1, stray_size + each
    return answer(
        {
            "objects": count,
            "bytes": size,
            "pointed_to": len(keep),
            "unreferenced": stray,
            "unreferenced_bytes": stray_size,
            "damaged": hub.storage.damaged,
            "behind": hub.storage.behind,
        }
    )


@routes.post("/storage/sweep", allow=OPERATOR)
async def sweep(call: Call) -> StreamResponse:
    """Delete what nothing points to and is older than `older_than_s`; `dry_run` only names it."""
    hub = call.hub
    older = call.body.get("older_than_s", GRACE_S)
    if not isinstance(older, int) or older < GRACE_MIN_S:
        raise BadRequest(f"older_than_s: {GRACE_MIN_S} seconds at least")
    with hub.store.view() as view:
        keep = set(objects.pointed_to(view))
        applied = view.applied
    if call.body.get("dry_run") is not True:
        deleted = await hub.storage.sweep(keep, older_than_s=older, applied=applied)
        return answer({"deleted": deleted})
    oldest = call.now - timedelta(seconds=older)
    stray = [
        {"object": checksum.hex(), "bytes": size, "at": moment.isoformat()}
        async for checksum, size, moment in hub.storage.names()
        if checksum not in keep and moment < oldest
    ]
    return answer({"would_delete": len(stray), "objects": stray[:LISTED_MAX]})
