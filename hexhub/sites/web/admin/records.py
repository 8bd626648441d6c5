"""What was said and what happened: the notice, the audit log, and the mails that were sent or not."""

from __future__ import annotations

from collections import Counter
from itertools import islice

from aiohttp.web import Response, StreamResponse

from hexhub.domain import mails, notices
from hexhub.errors import Invalid
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import AuditRecord, Mail
from hexhub.sites.web import pages
from hexhub.sites.web.account import text
from hexhub.sites.web.admin import gate
from hexhub.sites.web.spoken import about

routes = Routes(gate.administration)

LOOKED_AT_MAX = 20_000
"""Records that a search in the audit log goes through for one page."""
MAILS_SHOWN = 1_000


@routes.get("/audit", allow=gate.LOOKS)
async def audit_log(call: Call) -> StreamResponse:
    """The changes, the newest first; those that match, a page at a time."""
    wanted, before = gate.wanted(call), str(call.query.get("before", ""))[:200]
    after = tuple(before.split(" ")) if before.count(" ") == 2 else None
    with call.hub.store.view() as view:
        looked = islice(view.scan(AuditRecord, after=after, reverse=True), LOOKED_AT_MAX + 1)
        found: list[AuditRecord] = []
        last = None
        for count, each in enumerate(looked):
            if len(found) == gate.PER_PAGE or count == LOOKED_AT_MAX:
                break
            last = each
            if not wanted or _matches(each, wanted):
                found.append(each)
        else:
            last = None  # this was the oldest one
    return gate.page(
        "audit.html",
        records=found,
        wanted=wanted,
        paging=before != "",
        older=_key(last) if last else None,
    )


def _key(record: AuditRecord) -> str:
    return f"{record.moment} {record.by} {record.n}"


def _matches(record: AuditRecord, wanted: str) -> bool:
    words = (record.action, record.by, record.ip, record.organization or "", about(record))
    return any(wanted in word.lower() for word in words)


@routes.get("/mails", allow=gate.LOOKS)
async def mail_queue(call: Call) -> StreamResponse:
    """The newest mails, and what became of them."""
    wanted, state = gate.wanted(call), str(call.query.get("state", ""))
    with call.hub.store.view() as view:
        newest = mails.newest(view, MAILS_SHOWN)
    states = Counter(_state(mail) for mail in newest)
    found = [
        mail
        for mail in newest
        if (not state or _state(mail) == state)
        and any(wanted in word.lower() for word in (mail.to, mail.template))
    ]
    part, pager = gate.paged(call, found)
    return gate.page(
        "mails.html",
        found=[(mail, _state(mail)) for mail in part],
        pager_of=pager,
        wanted=wanted,
        state=state,
        states=states,
        sends=call.hub.sender.enabled,
    )


def _state(mail: Mail) -> str:
    """`sent`, `waiting`, `failed` (it is tried again) or `given up`."""
    if mail.sent_at is not None:
        return "sent"
    if mail.due is None:
        return "given up"
    return "failed" if mail.error else "waiting"


@routes.post("/mails/again", allow=gate.CHANGES)
async def send_again(call: Call) -> StreamResponse:
    """Try a mail again now, also one that was given up."""
    key = (text(call, "moment"), text(call, "to"), text(call, "n"))
    await call.hub.store.transact(mails.try_again, call.origin, key, call.now)
    return pages.redirect("/admin/mails")


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
