"""READMEs on pages, and the pictures in them that lie on other hosts."""

from __future__ import annotations

import re

from aiohttp.web import Response, StreamResponse
from markupsafe import Markup

from hexhub.errors import HubError, NotFound
from hexhub.http import responses
from hexhub.http.call import Call
from hexhub.rendering import TooMuch
from hexhub.schema import PUBLIC, Release
from hexhub.sites.web import files, reading

README_MAX = 500_000


async def drawn(
    call: Call, found: reading.Shown, release: Release
) -> tuple[Markup, list[str]] | None:
    """The README of a release as HTML, and where its pictures on other hosts are; None for none."""
    try:
        pack = await reading.contents(call, found, release)
    except (HubError, TimeoutError):
        return None
    path = files.readme(pack)
    if path is None or pack.entries[path].size > README_MAX:
        return None
    text = pack.read(pack.entries[path]).decode("utf-8", "replace")
    base = reading.release_path(release.repository, release.package, release.version)
    pictures = f"{base}/picture" if call.hub.pictures.enabled else None
    key = ("readme", release.outer_checksum.hex(), base, pictures or "")
    try:
        html, addresses = await call.hub.rendering.work(
            key,
            "readme",
            text=text,
            path=path,
            files=f"{base}/files",
            raw=f"{base}/raw",
            pictures=pictures,
        )
    except TooMuch:
        plain = "<p class='soft'>This README is too complex to draw.</p><pre tabindex='0'>{}</pre>"
        return Markup(plain).format(text[:20_000]), []
    return Markup(html), addresses


async def picture(
    call: Call, repository: str, name: str, version: str, number: str
) -> StreamResponse:
    """A picture of a README by its number in it: no address is fetched that stands in no README."""
    found = await reading.find(call, repository, name)
    release = found.release(version)
    shown = await drawn(call, found, release)
    addresses = shown[1] if shown else []
    if not re.fullmatch("[0-9]{1,3}", number) or int(number) >= len(addresses):
        raise NotFound
    age = "public" if repository == PUBLIC and call.hub.anonymous_read == "true" else "private"
    try:
        fetched = await call.hub.pictures.get(addresses[int(number)])
    except NotFound:
        return files.no_picture()
    headers = files.WALLS | {
        "Cache-Control": f"{age}, max-age=3600",
        "ETag": fetched.etag,
        "Content-Type": fetched.content_type,
    }
    if responses.is_fresh(call.request, fetched.etag):
        return Response(status=304, headers=headers)
    return Response(body=fetched.body, headers=headers)
