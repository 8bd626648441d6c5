"""What programs read: Atom feeds, the map of the site, the search description, robots' rules."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from aiohttp.web import Response, StreamResponse
from markupsafe import Markup

from hexhub.domain import packages
from hexhub.errors import NotFound
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import PUBLIC
from hexhub.search import Published, Query
from hexhub.sites.web import pages, reading

routes = Routes(pages.web)

ENTRIES = 50
MAP_MAX = 50_000


def _xml(call: Call, text: Markup, kind: str, *, public: bool, seconds: int = 300) -> Response:
    scope = "public" if public and call.hub.anonymous_read == "true" else "private"
    return Response(
        body=(Markup('<?xml version="1.0" encoding="utf-8"?>\n') + text).encode(),
        headers={
            "Content-Type": f"{kind}; charset=utf-8",
            "Cache-Control": f"{scope}, max-age={seconds}",
            "Vary": "Cookie",
            "X-Content-Type-Options": "nosniff",
        },
    )


def _time(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _feed(
    call: Call, title: str, path: str, page: str, entries: Iterable[tuple[Published, str]]
) -> Markup:
    """An Atom feed (RFC 4287); ids are addresses that never change."""
    url = call.hub.url
    parts, newest = [], None
    for each, description in entries:
        newest = newest or each.at
        address = url + reading.release_path(each.repository, each.package, each.version)
        parts.append(
            Markup(
                "<entry><id>{}</id><title>{} {}</title><updated>{}</updated>"
                '<link rel="alternate" href="{}"/><author><name>{}</name></author>'
                "<summary>{}</summary></entry>\n"
            ).format(
                address,
                each.package,
                each.version,
                _time(each.at),
                address,
                each.publisher or "unknown",
                description,
            )
        )
    return Markup(
        '<feed xmlns="http://www.w3.org/2005/Atom"><id>{url}{path}</id><title>{title}</title>'
        '<updated>{updated}</updated><link rel="self" href="{url}{path}"/>'
        '<link rel="alternate" href="{url}{page}"/>\n{entries}</feed>\n'
    ).format(
        url=url,
        path=path,
        page=page,
        title=title,
        updated=_time(newest or datetime.fromtimestamp(0, UTC)),
        entries=Markup("").join(parts),
    )


@routes.get("/feeds/releases.xml", allow=pages.READER)
async def releases(call: Call) -> StreamResponse:
    """The newest publishes that this reader may see."""
    with call.hub.store.view() as view:
        visible = reading.repositories(view, call)
    catalogue = call.hub.catalogue
    recent = await catalogue.recent(visible, ENTRIES, call.now.date())
    entries = [
        (
            each,
            listed.description if (listed := catalogue.get(each.repository, each.package)) else "",
        )
        for each in recent
    ]
    feed = _feed(call, "Releases on HexHub", "/feeds/releases.xml", "/", entries)
    return _xml(call, feed, "application/atom+xml", public=call.actor.anonymous)


@routes.get("/feeds/packages/{file}", allow=pages.READER)
async def package(call: Call) -> StreamResponse:
    """The releases of a public package."""
    return _package(call, PUBLIC, call.path["file"])


@routes.get("/feeds/packages/{repository}/{file}", allow=pages.READER)
async def private(call: Call) -> StreamResponse:
    """The releases of an organization's package."""
    return _package(call, call.path["repository"], call.path["file"])


def _package(call: Call, repository: str, file: str) -> Response:
    name = file.removesuffix(".xml")
    if name == file:
        raise NotFound
    with call.hub.store.view() as view:
        found = reading.package(view, call, repository, name)
        rows = packages.releases(view, found)
    rows.sort(key=lambda each: each.created_at, reverse=True)
    entries = [
        (
            Published(repository, name, each.version, each.publisher, each.created_at),
            found.meta.description or "",
        )
        for each in rows[:ENTRIES]
    ]
    inside = "" if repository == PUBLIC else f"{repository}/"
    path = f"/feeds/packages/{inside}{name}.xml"
    feed = _feed(call, f"Releases of {name}", path, reading.package_path(repository, name), entries)
    return _xml(call, feed, "application/atom+xml", public=repository == PUBLIC)


@routes.get("/sitemap.xml", allow=pages.READER)
async def sitemap(call: Call) -> StreamResponse:
    """Every public package and its documentation."""
    url, today = call.hub.url, call.now.date()
    with call.hub.store.view() as view:
        visible = [each for each in reading.repositories(view, call) if each == PUBLIC]
    found = await call.hub.catalogue.find(visible, Query(), "updated_at", today)
    row = Markup("<url><loc>{}</loc><lastmod>{}</lastmod></url>\n")
    rows = [row.format(f"{url}/packages/{each.name}", _time(each.updated_at)) for each in found]
    rows += [
        row.format(f"{url}/docs/{each.name}/", _time(each.updated_at))
        for each in found
        if each.docs
    ]
    text = Markup('<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{}</urlset>\n')
    joined = Markup("").join(rows[:MAP_MAX])
    return _xml(call, text.format(joined), "application/xml", public=True, seconds=3600)


@routes.get("/hexsearch.xml", allow=pages.ANYONE)
async def opensearch(call: Call) -> StreamResponse:
    """How a browser searches here from its address bar."""
    text = Markup(
        '<OpenSearchDescription xmlns="http://a9.com/-/spec/opensearch/1.1/">'
        "<ShortName>HexHub</ShortName><Description>Packages of {url}</Description>"
        '<Image width="16" height="16" type="image/svg+xml">{url}/favicon.ico</Image>'
        '<Url type="text/html" template="{url}/packages?search={{searchTerms}}"/>'
        "</OpenSearchDescription>\n"
    ).format(url=call.hub.url)
    kind = "application/opensearchdescription+xml"
    return _xml(call, text, kind, public=True, seconds=86_400)


@routes.get("/robots.txt", allow=pages.ANYONE)
async def robots(call: Call) -> StreamResponse:
    """What crawlers are asked to leave alone."""
    lines = ["User-agent: *"]
    if call.hub.anonymous_read == "true":
        lines += [
            f"Disallow: {path}" for path in ("/api/", "/diff/", "/login", "/search", "/repos/")
        ]
        lines.append(f"Sitemap: {call.hub.url}/sitemap.xml")
    else:
        lines.append("Disallow: /")
    return Response(
        text="\n".join(lines) + "\n", headers={"Cache-Control": "public, max-age=86400"}
    )
