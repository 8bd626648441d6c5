"""How much each repository may hold, by the operator's word."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from hexhub.domain import quotas
from hexhub.domain.audit import OPERATOR as BY_OPERATOR
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import Quota
from hexhub.sites.operator.pipeline import OPERATOR, answer, control

routes = Routes(control)


def _shown(quota: Quota) -> dict[str, object]:
    return {
        "repository": quota.repository,
        "bytes": quota.bytes,
        "used_bytes": quota.used_bytes,
        "packages": quota.packages,
        "used_packages": quota.used_packages,
        "updated_at": quota.updated_at,
    }


@routes.get("/quotas", allow=OPERATOR)
async def list_all(call: Call) -> StreamResponse:
    """Every repository that has one."""
    with call.hub.store.view() as view:
        return answer([_shown(quota) for quota in view.scan(Quota)])


@routes.put("/quotas/{repository}", allow=OPERATOR)
async def put(call: Call) -> StreamResponse:
    """Bound `bytes` and `packages` of a repository; null for no bound."""
    quota = await call.hub.store.transact(
        quotas.put,
        BY_OPERATOR,
        call.path["repository"],
        call.body.get("bytes"),
        call.body.get("packages"),
        call.now,
    )
    return answer(_shown(quota))


@routes.delete("/quotas/{repository}", allow=OPERATOR)
async def remove(call: Call) -> StreamResponse:
    """Take the bounds away."""
    repository = call.path["repository"]
    await call.hub.store.transact(quotas.remove, BY_OPERATOR, repository, call.now)
    return answer({"repository": repository})
