"""Files that no archive brings: the versions for ExDoc's menu, and a map for crawlers (docs.md §5, §6)."""

from __future__ import annotations

import hashlib
from datetime import UTC
from urllib.parse import quote

import msgspec
from aiohttp.web import Response, StreamResponse
from markupsafe import Markup

from hexhub.domain import packages
from hexhub.http import responses
from hexhub.http.call import Call
from hexhub.schema import Release
from hexhub.sites.hexdocs import answers, places, readers
from hexhub.sites.hexdocs.readers import Place

LEFT_OUT = ("404.html", "search.html")


def docs_config(
    call: Call, place: Place, releases: list[Release], token: str | None
) -> StreamResponse:
    """Every version with documentation, newest first; always of this moment.

    For a reader by token the addresses carry tokens too: ExDoc looks with a `fetch`, which brings no
    cookie, whether the page that is being read is in the other version.
    """
    newest = packages.latest(releases)
    base = places.base(call, place.repository, place.name)
    nodes = []
    for release in releases:
        where = base + quote(release.version, safe=places.SAFE)
        passed = readers.passed_on(call, place, token, release.version) if token else ""
        node: dict[str, object] = {
            "version": f"v{release.version}",
            "url": f"{where}/{passed}" if passed else where,
        }
        if newest is not None and release.version == newest.version:
            node["latest"] = True
        if release.retirement is not None:
            node["retired"] = True
        nodes.append(node)
    # The document may stand inside a script: nothing in it may end one.
    text = msgspec.json.encode(nodes).decode().replace("<", "\\u003c")
    return _made(call, place, f"var versionNodes = {text};\n", answers.TYPES["js"])


async def sitemap(call: Call, place: Place, release: Release) -> StreamResponse:
    """Every page of the newest documentation."""
    assert release.docs_checksum is not None
    pack = await call.hub.unpacked.get("docs", release.docs_checksum)
    base = places.origin(call) + places.base(call, place.repository, place.name)
    changed = release.updated_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    row = Markup(
        "<url><loc>{}</loc><lastmod>{}</lastmod><changefreq>daily</changefreq>"
        "<priority>0.8</priority></url>\n"
    )
    rows = [
        row.format(base + quote(path, safe="/-._~"), changed)
        for path in sorted(pack.entries)
        if path.endswith(".html") and path not in LEFT_OUT
    ]
    text = Markup(
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{}</urlset>\n'
    ).format(Markup("").join(rows))
    return _made(call, place, text, answers.TYPES["xml"])


def _made(call: Call, place: Place, text: str, content_type: str) -> Response:
    body = text.encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = answers.walls(call, place) | {
        "Content-Type": content_type,
        "ETag": etag,
        "Cache-Control": f"{answers.scope(call, place)}, max-age=60",
    }
    if responses.is_fresh(call.request, etag):
        return Response(status=304, headers=headers)
    return Response(body=body, headers=headers)
