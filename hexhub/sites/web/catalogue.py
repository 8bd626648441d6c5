"""The list of packages: search with operators, sorting, pages; and search as you type."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec
from aiohttp.web import Response, StreamResponse

from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import PUBLIC
from hexhub.search import Hit, Listed, Query
from hexhub.sites.web import pages, reading

routes = Routes(pages.web)
contested = Routes(pages.web)

PER_PAGE = 30
SORTS = (
    ("relevance", "Best match"),
    ("recent_downloads", "Recent downloads"),
    ("total_downloads", "Downloads"),
    ("updated_at", "Updated"),
    ("inserted_at", "Newest"),
    ("name", "Name"),
)
OPERATORS = (
    ("name:phoenix*", "by name, with * at either end"),
    ("depends:ecto", "what requires a package"),
    ("build_tool:rebar3", "by build tool"),
    ("description:json", "by description only"),
    ("updated_after:2026-01-01", "by last change"),
)
TYPED_PACKAGES, TYPED_DOCS = 6, 6


@contested.get("/packages", allow=pages.READER)
async def index(call: Call) -> StreamResponse:
    """Packages that match."""
    hub, text = call.hub, str(call.query.get("search", "")).strip()
    chosen = str(call.query.get("sort", ""))
    known = {name for name, _ in SORTS} - (set() if text else {"relevance"})
    sort = chosen if chosen in known else "relevance" if text else "recent_downloads"
    with hub.store.view() as view:
        repositories = reading.repositories(view, call)
    found = await hub.catalogue.find(repositories, Query.parse(text), sort, call.now.date())
    count = max(1, -(-len(found) // PER_PAGE))
    page = min(pages.number(call), count)
    docs = await hub.docs_search.find(text, repositories, limit=5) if text and page == 1 else []
    return pages.page(
        "packages.html",
        text=text,
        found=found[(page - 1) * PER_PAGE : page * PER_PAGE],
        total=len(found),
        page_number=page,
        pages=count,
        sort=sort,
        sorts=[(name, label) for name, label in SORTS if name in known],
        operators=OPERATORS,
        docs=[(hit, docs_address(hit)) for hit in docs],
        link="/packages?" + urlencode({"search": text, "sort": sort}),
        public=PUBLIC,
    )


@routes.get("/search.json", allow=pages.READER)
async def typed(call: Call) -> StreamResponse:
    """What a search finds while it is being typed: a few packages, then documentation."""
    text = str(call.query.get("q", ""))[:200]
    with call.hub.store.view() as view:
        repositories = reading.repositories(view, call)
    today = call.now.date()
    found = await call.hub.catalogue.find(repositories, Query.parse(text), "relevance", today)
    docs = await call.hub.docs_search.find(text, repositories, limit=TYPED_DOCS)
    hits = [_package_hit(each) for each in found[:TYPED_PACKAGES]]
    hits += [
        {
            "kind": f"{hit.package} {hit.version}",
            "title": hit.title,
            "text": "".join(hit.excerpt),
            "url": docs_address(hit),
        }
        for hit in docs
    ]
    return Response(
        body=msgspec.json.encode(hits),
        headers={
            "Content-Type": "application/json",
            "Cache-Control": "private, max-age=10",
            "Vary": "Cookie",
            "X-Content-Type-Options": "nosniff",
        },
    )


def _package_hit(each: Listed) -> dict[str, str]:
    name = each.name if each.repository == PUBLIC else f"{each.repository}/{each.name}"
    return {
        "kind": each.stable or each.latest or "",
        "title": name,
        "text": each.description,
        "url": reading.package_path(each.repository, each.name),
    }


def docs_address(hit: Hit) -> str:
    """Where something that was found in documentation is read."""
    return reading.docs_path(hit.repository, hit.package, hit.version) + hit.ref


@routes.get("/search", allow=pages.READER)
async def docs(call: Call) -> StreamResponse:
    """Full-text search over all documentation that this reader may read."""
    text = str(call.query.get("q", "")).strip()[:200]
    package = str(call.query.get("package", "")) or None
    page = min(pages.number(call), 50)
    with call.hub.store.view() as view:
        repositories = reading.repositories(view, call)
    hits = await call.hub.docs_search.find(
        text, repositories, package=package, limit=21, offset=(page - 1) * 20
    )
    return pages.page(
        "docs_search.html",
        text=text,
        package=package,
        hits=[(hit, docs_address(hit)) for hit in hits[:20]],
        page_number=page,
        more=len(hits) > 20,
        link="/search?" + urlencode({"q": text} | ({"package": package} if package else {})),
        public=PUBLIC,
    )
