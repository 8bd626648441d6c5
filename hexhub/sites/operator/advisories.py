"""Take in security advisories."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from hexhub.domain import advisories, audit
from hexhub.errors import Invalid, Malformed
from hexhub.formats import osv
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.operator.pipeline import OPERATOR, answer, control

routes = Routes(control)


@routes.post("/advisories", allow=OPERATOR)
async def put(call: Call) -> StreamResponse:
    """Keep the advisories in `advisories`; one that cannot be read refuses them all."""
    given = call.body.get("advisories")
    if not isinstance(given, list):
        raise Invalid({"advisories": "must be a list of OSV objects"})
    try:
        entries = [osv.read(value) for value in given]
    except Malformed as error:
        raise Invalid({"advisories": str(error)}) from None
    changed = await call.hub.store.transact(advisories.put, audit.OPERATOR, entries, call.now)
    return answer({"read": len(entries), "changed": changed})


@routes.get("/advisories", allow=OPERATOR)
async def index(call: Call) -> StreamResponse:
    """Every advisory that is kept."""
    with call.hub.store.view() as view:
        return answer(
            [
                {
                    "id": row.id,
                    "summary": row.summary,
                    "rating": row.cvss_rating,
                    "packages": row.packages,
                    "withdrawn": row.withdrawn_at is not None,
                }
                for row in advisories.everything(view)
            ]
        )
