"""What was said and what happened: the notice, the audit log, and the mails that were sent or not."""

from __future__ import annotations

from itertools import islice

from aiohttp.web import Response, StreamResponse

from hexhub.domain import mails, notices
from hexhub.errors import Invalid
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import AuditRecord
from hexhub.sites.web import pages
from hexhub.sites.web.account import text
from hexhub.sites.web.admin import gate

routes = Routes(gate.administration)

SHOWN = 200


@routes.get("/audit", allow=gate.LOOKS)
async def audit_log(call: Call) -> StreamResponse:
    """The newest changes."""
    with call.hub.store.view() as view:
        found = list(islice(view.scan(AuditRecord, reverse=True), SHOWN))
    return gate.page("audit.html", records=found, shown=SHOWN)


@routes.get("/mails", allow=gate.LOOKS)
async def mail_queue(call: Call) -> StreamResponse:
    """The newest mails, and what became of them."""
    with call.hub.store.view() as view:
        found = mails.newest(view, SHOWN)
    return gate.page("mails.html", found=found)


@routes.get("/notice", allow=gate.LOOKS)
async def notice(call: Call) -> StreamResponse:
    """What every page shows and every client prints."""
    return _notice(call)


def _notice(call: Call, *, status: int = 200, wrong: str = "") -> Response:
    with call.hub.store.view() as view:
        found = notices.current(view)
    return gate.page(
        "notice.html", status=status, current=found, levels=notices.LEVELS, wrong=wrong
    )


@routes.post("/notice", allow=gate.CHANGES)
async def set_notice(call: Call) -> StreamResponse:
    """Say something."""
    try:
        await call.hub.store.transact(
            notices.put, call.origin, text(call, "text"), text(call, "level"), call.now
        )
    except Invalid as error:
        return _notice(call, status=422, wrong=gate.words(error.errors))
    return pages.redirect("/admin/notice")


@routes.post("/notice/clear", allow=gate.CHANGES)
async def clear_notice(call: Call) -> StreamResponse:
    """Say nothing more."""
    await call.hub.store.transact(notices.clear, call.origin, call.now)
    return pages.redirect("/admin/notice")
