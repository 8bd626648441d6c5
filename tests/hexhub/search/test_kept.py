"""Documentation of upstream packages in the full-text search: what is kept, and may be read here."""

from __future__ import annotations

import pytest

from hexhub.domain import upstream_names
from hexhub.domain.audit import OPERATOR
from hexhub.search import docs as docs_search
from tests.end_to_end.packages import docs_archive
from tests.hexhub.mirrors import Pair


async def document(pair: Pair, name: str, version: str, text: str) -> None:
    """Publish a package with one page of documentation at the upstream."""
    await pair.publish(name, version)
    answer = await pair.author.post(
        f"/api/packages/{name}/releases/{version}/docs",
        data=docs_archive({"index.html": f"<title>{name} {version}</title>{text}".encode()}),
    )
    assert answer.status == 201, answer.body


async def found(pair: Pair, text: str) -> list[tuple[str, str]]:
    """What the search finds once everything that is kept is known."""
    mirror, search = pair.hub.hub.mirror, pair.hub.hub.docs_search
    assert mirror is not None
    await pair.hub.settled(lambda: mirror.mirrored.under_way == 0)
    await mirror.copies.flush()
    await search.settled()
    return [(hit.package, hit.version) for hit in await search.find(text, ["hexpm"])]


async def test_docs_of_the_upstream_are_found_once_they_were_read(pair: Pair) -> None:
    await document(pair, "cache", "1.0.0", "kindling")
    await document(pair, "cache", "2.0.0-rc.1", "kindling")
    await document(pair, "cache", "1.10.0", "kindling and embers")
    await document(pair, "cache2", "1.0.0", "kindling")
    assert await found(pair, "kindling") == []
    for version in ("2.0.0-rc.1", "1.0.0"):
        assert (await pair.get(f"/docs/cache/{version}/")).status == 200
    assert await found(pair, "kindling") == [("cache", "1.0.0")]
    assert (await pair.get("/docs/cache-1.10.0.tar.gz")).status == 200
    assert await found(pair, "kindling") == [("cache", "1.10.0")]
    page = (await pair.get("/search?q=embers", Accept="text/html")).body.decode()
    assert 'href="/docs/cache/1.10.0/index.html"' in page
    assert (await pair.get("/docs/cache/1.10.0/index.html")).status == 200


async def test_what_is_evicted_is_not_found(pair: Pair) -> None:
    await document(pair, "cache", "1.0.0", "kindling")
    await pair.get("/docs/cache/1.0.0/")
    assert await found(pair, "kindling") == [("cache", "1.0.0")]
    mirror = pair.hub.hub.mirror
    assert mirror is not None
    mirror.copies.drop("docs/cache-1.0.0.tar.gz")
    assert await found(pair, "kindling") == []


async def test_docs_under_a_name_that_was_reserved_are_found_no_more(pair: Pair) -> None:
    await document(pair, "cache", "1.0.0", "kindling")
    await pair.get("/docs/cache/1.0.0/")
    assert await found(pair, "kindling") == [("cache", "1.0.0")]
    hub = pair.hub.hub
    await hub.store.transact(upstream_names.reserve, OPERATOR, "cach*", hub.now())
    assert await found(pair, "kindling") == []


async def test_a_full_index_takes_no_docs_of_the_upstream(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docs_search, "KEPT_ITEMS_MAX", 0)
    await document(pair, "cache", "1.0.0", "kindling")
    await pair.get("/docs/cache/1.0.0/")
    assert await found(pair, "kindling") == []
