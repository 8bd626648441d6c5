"""Who passes: an administrator, signed in; with the password given lately for what changes things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from aiohttp.web import Response, StreamResponse

from hexhub.errors import Errors, NotFound
from hexhub.http.call import Call
from hexhub.http.routes import Access, Handler
from hexhub.sites.web import pages
from hexhub.sites.web.account import CONFIRMED, PERSON, forms

T = TypeVar("T")

LOOKS: Access = PERSON
CHANGES: Access = CONFIRMED

EVENTS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}
"""Headers of server-sent events; the last one keeps nginx from holding them back."""
PER_PAGE = 100
PAGE_MAX = 1_000_000

SECTIONS = (
    ("", (("/admin", "Overview"), ("/admin/jobs", "Background work"))),
    (
        "People",
        (
            ("/admin/users", "Users"),
            ("/admin/organizations", "Organizations"),
            ("/admin/keys", "Keys"),
        ),
    ),
    (
        "Packages",
        (
            ("/admin/repositories", "Repositories"),
            ("/admin/packages", "Own packages"),
            ("/admin/names", "Names"),
        ),
    ),
    (
        "Upstream",
        (
            ("/admin/upstream", "State and settings"),
            ("/admin/kept", "Kept packages"),
            ("/admin/rules", "Rules"),
        ),
    ),
    (
        "This hub",
        (
            ("/admin/storage", "Storage"),
            ("/admin/backups", "Backups"),
            ("/admin/notice", "Notice"),
            ("/admin/mails", "Mails"),
            ("/admin/audit", "Audit log"),
        ),
    ),
)
"""The pages by subject, as the menu shows them."""


async def administration(call: Call, handler: Handler) -> StreamResponse:
    """The pipeline of these pages."""

    async def checked(call: Call) -> StreamResponse:
        if call.actor.user is None or not call.actor.user.admin:
            raise NotFound
        return await handler(call)

    return await forms(call, checked, page_of=lambda call: section(call.request.raw_path)[0])


def section(path: str) -> tuple[str, str]:
    """The page of the menu that an address belongs to, and its name."""
    path = path.partition("?")[0]
    found = SECTIONS[0][1][0]
    for _, entries in SECTIONS:
        for address, label in entries:
            if path == address or (path.startswith(f"{address}/") and address != "/admin"):
                found = (address, label)
    return found


def page(template: str, *, status: int = 200, **values: Any) -> Response:
    """A page of the administration."""
    return pages.page(
        f"admin/{template}", status=status, sections=SECTIONS, section_of=section, **values
    )


def words(errors: Errors) -> str:
    """What is wrong, in one sentence."""
    parts = []
    for field, value in errors.items():
        said = words(value) if isinstance(value, Mapping) else value
        parts.append(f"{field}: {said}")
    return "; ".join(parts)


def wanted(call: Call, name: str = "q") -> str:
    """What is looked for, in lower case."""
    return str(call.query.get(name, "")).strip().lower()[:200]


def page_number(call: Call) -> int:
    """The page that is asked for, from 1."""
    text = str(call.query.get("page", ""))
    return min(PAGE_MAX, max(1, int(text[:9]))) if text.isascii() and text.isdigit() else 1


def paged(call: Call, found: Sequence[T]) -> tuple[Sequence[T], dict[str, Any]]:
    """Those of the page that is asked for, and what `pager` in the templates takes."""
    count = max(1, -(-len(found) // PER_PAGE))
    number = min(page_number(call), count)
    part = found[(number - 1) * PER_PAGE : number * PER_PAGE]
    return part, {"number": number, "count": count, "link": link(call), "total": len(found)}


def link(call: Call) -> str:
    """This address with what is looked for, ready for one more parameter."""
    kept = {name: value for name, value in call.query.items() if name != "page"}
    return call.request.raw_path.partition("?")[0] + "?" + urlencode(kept)
