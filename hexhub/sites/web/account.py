"""The pipelines of pages with forms: who must be signed in, and whose form this is."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

from aiohttp.web import StreamResponse

from hexhub.domain import sessions
from hexhub.errors import NotFound
from hexhub.http.call import Call
from hexhub.http.routes import Access, Handler
from hexhub.schema import Session, User
from hexhub.sites.web import pages, visitors

PERSON = Access("who is signed in", credentials=True)
CONFIRMED = Access("who is signed in and gave the password lately", credentials=True)
ANYONE = pages.ANYONE

PAGES_OF_FORMS = (
    (re.compile(r"/orgs/([^/]+)/(members|keys|policies)(/.*)?"), r"/orgs/\1?show=\2"),
    (re.compile(r"/dashboard/(profile|mails)"), "/dashboard"),
    (re.compile(r"/oauth/device/authorize"), "/oauth/device"),
    (re.compile(r"(/dashboard/[a-z]+)/.*"), r"\1"),
)
"""Addresses that only take forms, and the pages on which the forms are."""


async def forms(
    call: Call, handler: Handler, *, page_of: Callable[[Call], str] | None = None
) -> StreamResponse:
    """Send strangers to sign in, ask for the password where it was given too long ago, check forms.

    `page_of` is the page of a form whose own address is none; there one goes on afterwards.
    """

    async def checked(call: Call) -> StreamResponse:
        allow, sent = call.route.allow, call.request.method not in ("GET", "HEAD")
        if sent:
            visitors.check_form(call)
        else:
            visitors.greet(call)
        if allow.credentials and call.session is None:
            return _to("/login", call, page_of, sent)
        if allow is CONFIRMED and not sessions.confirmed(signed_in(call)[1], call.now):
            return _to("/login/confirm", call, page_of, sent)
        return await handler(call)

    return await pages.web(call, checked)


def _to(page: str, call: Call, page_of: Callable[[Call], str] | None, sent: bool) -> StreamResponse:
    """Go to a page that leads back here; what a form had sent is not kept."""
    here = call.request.raw_path
    if sent:
        here = page_of(call) if page_of else _page_of_form(here.partition("?")[0])
    return pages.redirect(f"{page}?return={quote(visitors.local_path(here), safe='/')}")


def _page_of_form(path: str) -> str:
    for pattern, page in PAGES_OF_FORMS:
        if found := pattern.fullmatch(path):
            return found.expand(page)
    return path


def signed_in(call: Call) -> tuple[User, Session]:
    """Who is signed in. Raises NotFound for nobody."""
    if call.actor.user is None or call.session is None:
        raise NotFound
    return call.actor.user, call.session


def text(call: Call, name: str) -> str:
    """A field of a form, without blanks around it."""
    value = call.body.get(name)
    return value.strip() if isinstance(value, str) else ""


def secret(call: Call, name: str) -> str:
    """A field of a form that holds a password: as it was typed."""
    value = call.body.get(name)
    return value if isinstance(value, str) else ""
