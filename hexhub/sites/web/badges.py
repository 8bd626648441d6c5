"""Badges: a package's version, licence or downloads as a small picture for other pages."""

from __future__ import annotations

import hashlib

from aiohttp.web import Response, StreamResponse
from markupsafe import Markup

from hexhub.errors import NotFound
from hexhub.http import responses
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import PUBLIC
from hexhub.search import Listed
from hexhub.sites.web import pages, reading
from hexhub.sites.web.spoken import short

routes = Routes(pages.web)

WIDE, PLAIN = frozenset("mwMW@%&"), 6.6
KINDS = ("version", "license", "downloads")


@routes.get("/badges/{file}", allow=pages.READER)
async def version(call: Call) -> StreamResponse:
    """The version of a public package."""
    return await _badge(call, call.path["file"], "version")


@routes.get("/badges/{name}/{file}", allow=pages.READER)
async def other(call: Call) -> StreamResponse:
    """Another fact: `license.svg`, `downloads.svg`."""
    kind = call.path["file"].removesuffix(".svg")
    if kind not in KINDS:
        raise NotFound
    return await _badge(call, f"{call.path['name']}.svg", kind)


async def _badge(call: Call, file: str, kind: str) -> StreamResponse:
    name = file.removesuffix(".svg")
    with call.hub.store.view() as view:
        reading.package(view, call, PUBLIC, name)
    await call.hub.catalogue.ready(call.now.date())
    listed = call.hub.catalogue.get(PUBLIC, name)
    if listed is None or name == file:
        raise NotFound
    body = svg(*_words(listed, kind)).encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {
        "Content-Type": "image/svg+xml",
        "Cache-Control": "public, max-age=300",
        "ETag": etag,
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    if responses.is_fresh(call.request, etag):
        return Response(status=304, headers=headers)
    return Response(body=body, headers=headers)


def _words(listed: Listed, kind: str) -> tuple[str, str]:
    if kind == "license":
        return "license", ", ".join(listed.licenses) or "none"
    if kind == "downloads":
        return "downloads", short(listed.total_downloads)
    return "hex", f"v{listed.stable or listed.latest}"


def svg(label: str, value: str) -> Markup:
    """Two words side by side. Everything in it is escaped."""
    left, right = _width(label), _width(value)
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="20" role="img" '
        'aria-label="{label}: {value}"><title>{label}: {value}</title>'
        '<clipPath id="r"><rect width="{w}" height="20" rx="4"/></clipPath>'
        '<g clip-path="url(#r)"><rect width="{left}" height="20" fill="#3b3547"/>'
        '<rect x="{left}" width="{right}" height="20" fill="#6637c9"/></g>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" '
        'font-size="11"><text x="{lx}" y="14">{label}</text><text x="{rx}" y="14">{value}</text>'
        "</g></svg>\n"
    ).format(
        w=left + right,
        left=left,
        right=right,
        label=label,
        value=value,
        lx=left / 2,
        rx=left + right / 2,
    )


def _width(text: str) -> int:
    return round(sum(9.6 if char in WIDE else PLAIN for char in text)) + 14
