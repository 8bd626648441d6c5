"""How a page is made: template, headers, and what an error looks like to a person."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from http import HTTPStatus

from aiohttp.web import Response, StreamResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from cluster import ClusterError
from hexhub.errors import HubError
from hexhub.http import responses
from hexhub.http.call import Call
from hexhub.http.routes import Access, Handler

ANYONE = Access("anyone")
LINK_HOLDER = Access("who holds the link")

HEADERS = {
    "Cache-Control": "no-store",
    # The address of a one-time link is a secret, which no other site may learn.
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("hexhub.sites.web"), autoescape=True, undefined=StrictUndefined
    )


@cache
def _style() -> tuple[str, str]:
    """The style sheet, and its hash for the content security policy."""
    loader = _templates().loader
    assert loader is not None
    text = loader.get_source(_templates(), "style.css")[0]
    return text, base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def page(template: str, *, status: int = 200, **values: object) -> Response:
    """A page from a template of this folder."""
    style, digest = _style()
    text = _templates().get_template(template).render(style=style, **values)
    headers = dict(HEADERS)
    headers["Content-Security-Policy"] = HEADERS["Content-Security-Policy"].format(style=digest)
    return Response(status=status, text=text, content_type="text/html", headers=headers)


async def web(call: Call, handler: Handler) -> StreamResponse:
    """The pipeline of pages: errors are pages too."""
    try:
        return await handler(call)
    except (HubError, ClusterError) as error:
        status, message = responses.status_of(error)
        title = HTTPStatus(status).phrase
        return page("error.html", status=status, title=title, message=message or title)
