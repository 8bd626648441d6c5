"""The files of a release: a list, one with colours, and its bytes."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from aiohttp.web import Response, StreamResponse
from markupsafe import Markup, escape

from hexhub.errors import NotFound
from hexhub.http import responses
from hexhub.http.call import Call
from hexhub.rendering import TooMuch
from hexhub.schema import PUBLIC, Release
from hexhub.sites.web import pages, reading
from hexhub.unpacked import Pack

SHOWN_MAX = 500_000
LISTED_MAX = 5_000
PICTURES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "avif": "image/avif",
    "svg": "image/svg+xml",
}
WALLS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Around bytes of strangers on the hub's own host."""
NO_PICTURE = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="132" height="20" role="img">'
    b'<rect width="132" height="20" rx="4" fill="#8884"/>'
    b'<text x="66" y="14" font-size="11" font-family="sans-serif" text-anchor="middle" '
    b'fill="#777">picture not found</text></svg>'
)
READMES = ("readme.md", "readme.markdown", "readme.txt", "readme", "readme.livemd")


def readme(pack: Pack) -> str | None:
    """The path of the README at the top of a package."""
    by_name = {path.lower(): path for path in pack.entries if "/" not in path}
    return next((by_name[name] for name in READMES if name in by_name), None)


async def _pack(call: Call, repository: str, name: str, version: str) -> tuple[Release, Pack]:
    shown = await reading.find(call, repository, name)
    release = shown.release(version)
    return release, await reading.contents(call, shown, release)


async def browse(call: Call, repository: str, name: str, version: str, path: str) -> StreamResponse:
    """The list of files, or one of them."""
    release, pack = await _pack(call, repository, name, version)
    base = reading.release_path(repository, name, version)
    values: dict[str, Any] = {
        "release": release,
        "base": base,
        "package_base": reading.package_path(repository, name),
        "public": PUBLIC,
        "path": path,
    }
    entry = pack.entries.get(path)
    if entry is None:
        prefix = f"{path}/" if path else ""
        listed = sorted(
            (each.path, each.size) for each in pack.entries.values() if each.path.startswith(prefix)
        )
        if not listed and path:
            raise NotFound(f"{name} {version} has no file {path[:200]}.")
        total = sum(size for _, size in listed)
        return pages.page(
            "files.html", listed=listed[:LISTED_MAX], count=len(listed), total=total, **values
        )
    text = text_of(pack.read(entry)) if entry.size <= SHOWN_MAX else None
    lines = await _lines(call, release, path, text) if text is not None else None
    suffix = PurePosixPath(path).suffix.lower().lstrip(".")
    return pages.page(
        "file.html",
        lines=lines,
        picture=suffix in PICTURES and suffix != "svg",
        size=entry.size,
        **values,
    )


async def _lines(call: Call, release: Release, path: str, text: str) -> list[Markup]:
    try:
        key = ("code", release.outer_checksum.hex(), path)
        lines = await call.hub.rendering.work(key, "code", text=text, name=path)
        return [Markup(line) for line in lines]
    except TooMuch:
        return [escape(line) for line in text.split("\n")]


def text_of(data: bytes) -> str | None:
    """A file as text; None for one that is none."""
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def no_picture() -> Response:
    """What stands in a README for a picture that is not to be had."""
    headers = {"Cache-Control": "no-store", "Content-Type": "image/svg+xml"}
    return Response(status=404, body=NO_PICTURE, headers=headers | WALLS)


async def raw(call: Call, repository: str, name: str, version: str, path: str) -> StreamResponse:
    """A file's bytes: pictures as what they are, all else as text, and nothing that could run."""
    _, pack = await _pack(call, repository, name, version)
    entry = pack.entries.get(path)
    suffix = PurePosixPath(path).suffix.lower().lstrip(".")
    if entry is None and suffix in PICTURES and not pages.wants_page(call.request):
        return no_picture()
    if entry is None:
        raise NotFound(f"{name} {version} has no file {path[:200]}.")
    headers = {
        "ETag": entry.etag,
        "Cache-Control": "public, max-age=3600"
        if repository == PUBLIC and call.hub.anonymous_read == "true"
        else "private, max-age=3600",
    } | WALLS
    if responses.is_fresh(call.request, entry.etag):
        return Response(status=304, headers=headers)
    body = pack.read(entry)
    text = "text/plain; charset=utf-8" if text_of(body[:100_000]) is not None else None
    headers["Content-Type"] = PICTURES.get(suffix) or text or "application/octet-stream"
    return Response(body=body, headers=headers)
