"""Static files: style, script, icon. Their address carries a hash, so that they are kept for ever."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from aiohttp.web import Response, StreamResponse

from hexhub.errors import NotFound
from hexhub.http.call import Call
from hexhub.http.routes import Access, Routes
from hexhub.sites.web import pages

FILES = {
    "hub.css": "text/css; charset=utf-8",
    "hub.js": "text/javascript; charset=utf-8",
    "favicon.svg": "image/svg+xml",
}
FOR_EVER = "public, max-age=31536000, immutable"

routes = Routes(pages.web)


@dataclass(frozen=True, slots=True)
class Asset:
    body: bytes
    gzipped: bytes
    content_type: str


@cache
def _addresses() -> dict[str, str]:
    return {name: _address(name) for name in FILES}


@cache
def _assets() -> dict[str, Asset]:
    found = {}
    for name, content_type in FILES.items():
        body = _read(name)
        found[_address(name)] = Asset(body, gzip.compress(body, mtime=0), content_type)
    return found


def _read(name: str) -> bytes:
    return resources.files("hexhub.sites.web").joinpath("static", name).read_bytes()


@cache
def _address(name: str) -> str:
    stem, _, suffix = name.rpartition(".")
    return f"/assets/{stem}-{hashlib.sha256(_read(name)).hexdigest()[:12]}.{suffix}"


def address(name: str) -> str:
    """Where a static file is now, for templates."""
    return _addresses()[name]


@routes.get("/assets/{file}", allow=Access("anyone"))
async def asset(call: Call) -> StreamResponse:
    """A static file by its hashed name."""
    found = _assets().get(f"/assets/{call.path['file']}")
    if found is None:
        raise NotFound
    return answer(call, found)


@routes.get("/favicon.ico", allow=Access("anyone"))
async def favicon(call: Call) -> StreamResponse:
    """The icon, where browsers look for it by themselves."""
    response = answer(call, _assets()[address("favicon.svg")])
    response.headers["Cache-Control"] = "public, max-age=86400"
    return response


def answer(call: Call, found: Asset) -> Response:
    """An asset, compressed for those who take it."""
    headers = {
        "Content-Type": found.content_type,
        "Cache-Control": FOR_EVER,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
        # Sandboxed docs pages have no origin of their own to load from.
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    if "gzip" in call.request.headers.get("Accept-Encoding", ""):
        return Response(body=found.gzipped, headers=headers | {"Content-Encoding": "gzip"})
    return Response(body=found.body, headers=headers)
