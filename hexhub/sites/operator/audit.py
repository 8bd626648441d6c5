"""Hand out the audit log, sealed and in order."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

from aiohttp.web import StreamResponse

from hexhub import sealer
from hexhub.domain import audit
from hexhub.errors import BadRequest
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.sites.operator.pipeline import OPERATOR, answer, control

routes = Routes(control)

LINES_MAX = 500


@routes.get("/audit", allow=OPERATOR)
async def export(call: Call) -> StreamResponse:
    """Up to 500 records behind the place `after`, not older than `since`."""
    store = call.hub.store
    await sealer.seal_waiting(store)
    since, after = _moment(call.query.get("since")), _place(call.query.get("after"))
    with store.view() as view:
        found = audit.chain(view, after=after, since=since)
        return answer([audit.exported(row) for row in islice(found, LINES_MAX)])


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest("since: a date or a moment in ISO 8601, such as 2026-01-31") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _place(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else 0
