"""Set what every client prints."""

from __future__ import annotations

from aiohttp.web import StreamResponse

from hexhub.domain import audit, notices
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.operator.pipeline import OPERATOR, answer, control

routes = Routes(control)


def _shown(notice: notices.Notice | None) -> dict[str, str | None]:
    return {
        "text": notice.text if notice else None,
        "level": notice.level if notice else None,
    }


@routes.get("/notice", allow=OPERATOR)
async def show(call: Call) -> StreamResponse:
    """The notice that holds."""
    with call.hub.store.view() as view:
        return answer(_shown(notices.current(view)))


@routes.put("/notice", allow=OPERATOR)
async def put(call: Call) -> StreamResponse:
    """Set the notice."""
    body = call.body
    notice = await call.hub.store.transact(
        notices.put, audit.OPERATOR, body.get("text"), body.get("level", "warn"), call.now
    )
    return answer(_shown(notice))


@routes.delete("/notice", allow=OPERATOR)
async def clear(call: Call) -> StreamResponse:
    """Say nothing more."""
    await call.hub.store.transact(notices.clear, audit.OPERATOR, call.now)
    return answer(_shown(None))
