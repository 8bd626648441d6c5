"""What happened: the audit log of the whole hub, and the mails that it sent or could not."""

from __future__ import annotations

from itertools import islice

from aiohttp.web import StreamResponse

from hexhub.domain import mails
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import AuditRecord
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
