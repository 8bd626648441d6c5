"""A page that is not there, and what is there instead: other versions, and the package."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import quote

from aiohttp.web import Response
from markupsafe import Markup

from hexhub.domain import docs
from hexhub.http.call import Call
from hexhub.schema import PUBLIC, Package
from hexhub.sites.hexdocs import places, readers
from hexhub.sites.hexdocs.readers import Place

OFFERED = 30
STYLE = Markup(
    ":root{color-scheme:light dark}"
    "body{font:1rem/1.6 ui-sans-serif,system-ui,sans-serif;max-width:34rem;margin:15vh auto;"
    "padding:0 1.25rem;background:light-dark(#fff,#131118);color:light-dark(#1c1825,#edeaf4)}"
    "h1{font-size:1.6rem;letter-spacing:-.02em;line-height:1.25}"
    "a{color:light-dark(#6637c9,#b99dff)}"
    "ul{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.5rem}"
    "li a{display:block;padding:.4rem .8rem;border:1px solid light-dark(#857d95,#7d748f);"
    "border-radius:.5rem;text-decoration:none}"
    ":focus-visible{outline:2px solid currentColor;outline-offset:2px}"
)
DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
PAGE = Markup(
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    "<title>{title}</title><style>{style}</style></head><body><main>"
    '<h1>{title}</h1><p>{text}</p>{offer}<p>{package}<a href="{url}/packages">All packages</a></p>'
    "</main></body></html>\n"
)


def page(call: Call, message: str) -> Response:
    """The answer for an address below a package's documentation that leads nowhere."""
    repository, name = call.path.get("repository", PUBLIC), call.path.get("name", "")
    known, versions = _known(call, repository, name)
    title, text = "This page is not here", message
    offer = package = Markup("")
    if not known:
        title, text = "No such documentation", "The package may be private, or have another name."
    elif not versions:
        title = f"{name} has no documentation"
        text = "Its owners publish it with “mix hex.publish docs”."
    elif message == "Page not found":
        text = f"{name} has no documentation of this version. These are there:"
    if known:
        where = f"/packages/{name}" if repository == PUBLIC else f"/packages/{repository}/{name}"
        package = Markup('<a href="{}{}">{}</a> · ').format(call.hub.url, quote(where), name)
    if versions:
        base = places.base(call, repository, name)
        item = Markup('<li><a href="{}">{}</a></li>')
        rows = [item.format(base, "newest")] + [
            item.format(f"{base}{quote(version, safe=places.SAFE)}/", version)
            for version in versions[:OFFERED]
        ]
        offer = Markup("<ul>{}</ul>").format(Markup("").join(rows))
    body = PAGE.format(
        title=title, style=STYLE, text=text, offer=offer, package=package, url=call.hub.url
    )
    return Response(
        status=404,
        text=body,
        content_type="text/html",
        headers={
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "X-Robots-Tag": "noindex",
            "Content-Security-Policy": (
                f"default-src 'none'; style-src 'sha256-{DIGEST}'; frame-ancestors 'none'; "
                "base-uri 'none'; form-action 'none'"
            ),
        },
    )


def _known(call: Call, repository: str, name: str) -> tuple[bool, list[str]]:
    """Whether this reader may know of the package, and which versions have documentation."""
    rest = [part for part in call.path.get("rest", "").split("/") if part]
    actor = call.actor
    for at, part in enumerate(rest[:2]):
        if part.startswith(readers.MARK) and actor.anonymous:
            place = Place(repository, name, rest[0] if at else None)
            actor = readers.reader(call, place, part)
    if not readers.may_read(call, actor, repository):
        return False, []
    with call.hub.store.view() as view:
        known = view.get(Package, repository, name) is not None
        return known, [each.version for each in docs.versions_with_docs(view, repository, name)]
