"""How a page is made: template, headers, and what an error looks like to a person."""

from __future__ import annotations

import contextlib
import gzip
import secrets
from contextvars import ContextVar
from functools import cache
from http import HTTPStatus
from urllib.parse import quote

from aiohttp.web import BaseRequest, Response, StreamResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from cluster import ClusterError
from hexhub import __version__
from hexhub.domain import notices
from hexhub.errors import HubError, NotFound
from hexhub.http import responses
from hexhub.http.call import Call
from hexhub.http.routes import Access, Handler
from hexhub.sites.web import visitors

ANYONE = Access("anyone")
READER = Access("who may read here")
LINK_HOLDER = Access("who holds the link")

THEMES = ("light", "dark", "system")

POLICY = (
    "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
    "img-src 'self' data:; connect-src 'self'; manifest-src 'self'; form-action 'self' {forms_to}; "
    "frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    # The address of a one-time link is a secret, which no other site may learn.
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept, Accept-Encoding, Cookie",
}

TITLES = {
    400: "That cannot be answered",
    401: "Please sign in",
    403: "Not for you",
    404: "This page is not here",
    429: "A little slower, please",
    500: "Something broke here",
    503: "Not right now",
}
SAID_ANYWAY = frozenset({"Page not found", "Bad request", "Too many requests"})
"""Messages that say no more than the title."""
HINTS = {
    400: "Check the address, or start again from the package list.",
    401: "Sign in and try again.",
    403: "Your account may not do this. Ask an owner or an administrator.",
    404: "It may have moved, or it is private and you are not signed in.",
    409: "Reload the page: somebody may have changed the same thing.",
    422: "Go back, look at what was typed, and try again.",
    429: "Wait a minute, then try again.",
    500: "The fault is this hub’s and is written in its log. Try again, or tell an administrator.",
    502: "The upstream answered something wrong. Try again later.",
    503: "Nothing was changed. Try again in a few seconds.",
}

_CALL: ContextVar[Call | None] = ContextVar("call", default=None)


@cache
def templates() -> Environment:
    """The templates of this folder, with what all of them may use."""
    from hexhub.sites.web import assets, reading, spoken

    made = Environment(
        loader=PackageLoader("hexhub.sites.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(spoken.FILTERS | reading.FILTERS)
    made.globals.update(asset=assets.address, version=__version__)
    return made


def wants_page(request: BaseRequest) -> bool:
    """Whether a browser asks: where a path means something else to a client (http-api.md §8)."""
    return "text/html" in request.headers.get("Accept", "").lower()


def page(template: str, *, status: int = 200, forms_to: str = "", **values: object) -> Response:
    """A page from a template of this folder, for the call that is being answered.

    `forms_to` is where else than here the page's forms may lead.
    """
    call, nonce = _CALL.get(), secrets.token_urlsafe(16)
    text = (
        templates()
        .get_template(template)
        .render(
            {
                "nonce": nonce,
                "theme": theme(call.request) if call else "system",
                "here": call.request.raw_path.partition("?")[0] if call else "/",
                "actor": call.actor if call else None,
                "csrf": visitors.form_token(call) if call else "",
                "hub": call.hub if call else None,
                "notice": _notice(call) if call else None,
                "now": call.now if call else None,
                "query": str(call.query.get("search", "")) if call else "",
                **values,
            }
        )
    )
    headers = HEADERS | {"Content-Security-Policy": POLICY.format(nonce=nonce, forms_to=forms_to)}
    body = text.encode()
    if call and "gzip" in call.request.headers.get("Accept-Encoding", "") and len(body) > 1000:
        body = gzip.compress(body, 3, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(
        status=status, body=body, headers=headers | {"Content-Type": "text/html; charset=utf-8"}
    )


def _notice(call: Call) -> str | None:
    """What the operator has everybody read."""
    try:
        with call.hub.store.view() as view:
            found = notices.current(view)
    except ClusterError:
        return None
    return found.text if found else None


def theme(request: BaseRequest) -> str:
    """What the reader chose, from a cookie that holds nothing else."""
    chosen = request.cookies.get("theme", "")
    return chosen if chosen in THEMES else "system"


def error(status: int, message: str | None = None) -> Response:
    """An error that says what to do."""
    title = TITLES.get(status) or HTTPStatus(status).phrase
    said = bool(message) and message not in SAID_ANYWAY and message != HTTPStatus(status).phrase
    return page(
        "error.html",
        status=status,
        code=status,
        title=title,
        message=message if said else None,
        hint=HINTS.get(status, ""),
    )


def redirect(address: str, *, status: int = 303) -> Response:
    """Go there instead; after a form, by a new GET."""
    return Response(status=status, headers={"Location": address, "Cache-Control": "no-store"})


def _must_sign_in(call: Call) -> bool:
    """Whether only those who are signed in read here (design §9)."""
    return call.hub.anonymous_read == "false" and call.actor.anonymous


def wants_page_anywhere(request: BaseRequest) -> bool:
    """Whether a browser asks for something that nothing else answers."""
    return wants_page(request) and not request.raw_path.startswith("/api")


def number(call: Call) -> int:
    """The page of a list that was asked for; 1 for none and for nonsense."""
    text = str(call.query.get("page", ""))
    return max(1, int(text[:9])) if text.isascii() and text.isdigit() else 1


async def nowhere(call: Call) -> StreamResponse:
    """A page for every address that is none."""
    raise NotFound


async def web(call: Call, handler: Handler) -> StreamResponse:
    """The pipeline of pages: errors are pages too."""
    token = _CALL.set(call)
    try:
        await visitors.recognise(call)
        if call.route.allow is READER and _must_sign_in(call):
            return redirect(f"/login?return={quote(call.request.raw_path)}")
        return await handler(call)
    except (HubError, ClusterError) as problem:
        status, message = responses.status_of(problem)
        return error(status, message)
    except Exception:
        # Whoever dispatched the call writes it down; people get a page for it.
        with contextlib.suppress(Exception):
            call.fault_page = error(500)
        raise
    finally:
        _CALL.reset(token)
