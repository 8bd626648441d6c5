"""Files of strangers as answers: content type, caching, and the walls around them."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
from pathlib import PurePosixPath

from aiohttp.web import Response, StreamResponse

from hexhub.http import responses
from hexhub.http.call import Call
from hexhub.schema import Release
from hexhub.sites.hexdocs import places, readers, stand_in
from hexhub.sites.hexdocs.readers import Place
from hexhub.unpacked import Entry, Pack

TYPES = {
    "html": "text/html; charset=utf-8",
    "xhtml": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "json": "application/json; charset=utf-8",
    "map": "application/json; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
    "livemd": "text/markdown; charset=utf-8",
    "xml": "application/xml; charset=utf-8",
    "svg": "image/svg+xml; charset=utf-8",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "avif": "image/avif",
    "ico": "image/x-icon",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "ttf": "font/ttf",
    "otf": "font/otf",
    "wasm": "application/wasm",
    "pdf": "application/pdf",
    "epub": "application/epub+zip",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "webmanifest": "application/manifest+json",
}
OCTETS = "application/octet-stream"
HASHED = re.compile(r"-[0-9A-Fa-f]{8,}\.[a-z0-9]+$")
SANDBOX = (
    "sandbox allow-scripts allow-forms allow-popups allow-popups-to-escape-sandbox "
    "allow-downloads allow-modals; form-action {forms}"
)
ON_LOOP_MAX = 128 * 1024
"""Larger files are read, and drawn larger ones compressed, on a thread."""

DOCTYPE = b"<!doctype html>"


def redirect(address: str) -> Response:
    """Go there; never kept, since who may go where changes."""
    return Response(status=302, headers={"Location": address, "Cache-Control": "no-store"})


def walls(call: Call, place: Place) -> dict[str, str]:
    """The headers around everything that a stranger uploaded."""
    headers = {
        "X-Content-Type-Options": "nosniff",
        # Pages without an origin need this for fonts and modules. No cookie is ever looked at here.
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Vary": "Accept-Encoding",
        "Referrer-Policy": "same-origin",
    }
    if places.is_hub(call):
        forms = places.origin(call) + places.base(call, place.repository, place.name)
        headers["Content-Security-Policy"] = SANDBOX.format(forms=forms)
    if not readers.is_open(call, place.repository):
        headers["X-Robots-Tag"] = "noindex, nofollow"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Vary"] = "Accept-Encoding, Authorization, Cookie"
    return headers


def scope(call: Call, place: Place) -> str:
    """Whether shared caches may keep an answer."""
    return "public" if readers.is_open(call, place.repository) else "private"


async def file(
    call: Call, place: Place, pack: Pack, entry: Entry, release: Release
) -> StreamResponse:
    """A file of an archive, or 304."""
    suffix = PurePosixPath(entry.path).suffix.lower().lstrip(".")
    content_type = TYPES.get(suffix, OCTETS)
    is_page = content_type.startswith("text/html")
    before = _before(call, place) if is_page and places.is_hub(call) else b""
    etag = (
        entry.etag if not before else f'{entry.etag[:-1]}-{hashlib.sha256(before).hexdigest()[:8]}"'
    )
    headers = walls(call, place) | {
        "Content-Type": content_type,
        "ETag": etag,
        "Cache-Control": f"{scope(call, place)}, {_age(place, entry, is_page)}",
    }
    if is_page and place.version and readers.is_open(call, place.repository):
        newest = Place(place.repository, place.name, None)
        canonical = places.address(call, newest, None, entry.path).partition("?")[0]
        headers["Link"] = f'<{canonical.removesuffix("index.html")}>; rel="canonical"'
    if before and "Cookie" not in headers["Vary"]:
        headers["Vary"] += ", Cookie"
    if responses.is_fresh(call.request, etag):
        return Response(status=304, headers=headers)
    takes_gzip = "gzip" in call.request.headers.get("Accept-Encoding", "")
    if entry.size <= ON_LOOP_MAX:
        body, gzipped = _body(pack, entry, before, takes_gzip)
    else:
        loop = asyncio.get_running_loop()
        body, gzipped = await loop.run_in_executor(
            call.hub.unpacking, _body, pack, entry, before, takes_gzip
        )
    if gzipped:
        headers["Content-Encoding"] = "gzip"
    return Response(body=body, headers=headers)


def _before(call: Call, place: Place) -> bytes:
    """What a sandboxed page gets in front of it."""
    base = places.base(call, place.repository, place.name)
    return stand_in.script(base, call.request.cookies.get("theme", ""))


def _body(pack: Pack, entry: Entry, before: bytes, takes_gzip: bool) -> tuple[bytes, bool]:
    """The bytes to send, and whether they are compressed."""
    if not before:
        if entry.gzipped and takes_gzip:
            return pack.stored(entry), True
        return pack.read(entry), False
    page = pack.read(entry)
    has_type = page.lstrip()[:9].lower() == b"<!doctype"
    page = (DOCTYPE if has_type else b"") + before + page
    return (gzip.compress(page, 2, mtime=0), True) if takes_gzip else (page, False)


def _age(place: Place, entry: Entry, is_page: bool) -> str:
    if HASHED.search(entry.path):
        return "max-age=31536000, immutable"
    if is_page or place.version is None:
        return "max-age=60"
    return "max-age=3600"
