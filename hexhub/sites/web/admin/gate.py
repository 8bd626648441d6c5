"""Who passes: an administrator, signed in; with the password given lately for what changes things."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp.web import Response, StreamResponse

from hexhub.errors import Errors, NotFound
from hexhub.http.call import Call
from hexhub.http.routes import Access, Handler
from hexhub.sites.web import pages
from hexhub.sites.web.account import CONFIRMED, PERSON, forms

LOOKS: Access = PERSON
CHANGES: Access = CONFIRMED

SECTIONS = (
    ("/admin", "Overview"),
    ("/admin/users", "Users"),
    ("/admin/organizations", "Organizations"),
    ("/admin/mirror", "Mirror"),
    ("/admin/rules", "Rules"),
    ("/admin/names", "Names"),
    ("/admin/notice", "Notice"),
    ("/admin/mails", "Mails"),
    ("/admin/audit", "Audit log"),
)


async def administration(call: Call, handler: Handler) -> StreamResponse:
    """The pipeline of these pages."""

    async def checked(call: Call) -> StreamResponse:
        if call.actor.user is None or not call.actor.user.admin:
            raise NotFound
        return await handler(call)

    return await forms(call, checked)


def page(template: str, *, status: int = 200, **values: Any) -> Response:
    """A page of the administration."""
    return pages.page(f"admin/{template}", status=status, sections=SECTIONS, **values)


def words(errors: Errors) -> str:
    """What is wrong, in one sentence."""
    parts = []
    for field, value in errors.items():
        said = words(value) if isinstance(value, Mapping) else value
        parts.append(f"{field}: {said}")
    return "; ".join(parts)
