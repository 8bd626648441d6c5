"""The search language, and the packages that it finds."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from hexhub.search import Query
from tests.end_to_end.packages import Requirement, docs_archive, tarball
from tests.hexhub.hubs import Person, TestHub


@given(st.text(max_size=200))
def test_no_text_fails(text: str) -> None:
    Query.parse(text)


def test_filters_and_free_text_are_told_apart() -> None:
    query = Query.parse('json name:jason* description:"fast parser" build_tool:mix x:y')
    assert query.text == "json"
    assert query.name == "jason*"
    assert query.description == "fast parser"
    assert query.build_tool == "mix"


def test_a_broken_time_is_left_out() -> None:
    assert Query.parse("updated_after:soon").updated_after is None
    assert Query.parse("updated_after:2026-01-01T00:00:00Z").updated_after is not None


@pytest.fixture
async def shelf(hub: TestHub, mara: Person) -> TestHub:
    wants = {"jason": Requirement("~> 1.0")}
    for tar in (
        tarball("jason", "1.0.0", {"a": b"a"}, description="A fast JSON parser"),
        tarball("jason_more", "1.0.0", {"a": b"a"}, description="Helpers", build_tools=("mix",)),
        tarball(
            "web", "1.0.0", {"a": b"a"}, description="Parsers of web pages", requirements=wants
        ),
    ):
        assert (await mara.publish(tar)).status == 201
    return hub


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {"jason", "jason_more", "web"}),
        ("jason", {"jason", "jason_more"}),
        ("ja", set()),
        ("parser", {"jason", "web"}),
        ("name:jason", {"jason"}),
        ("name:jason*", {"jason", "jason_more"}),
        ("name:*more", {"jason_more"}),
        ("depends:jason", {"web"}),
        ("depends:hexpm:jason", {"web"}),
        ("build_tool:mix", {"jason_more"}),
        ("description:fast", {"jason"}),
        ("hexpm/web", {"web"}),
        ("acme/jason", set()),
        ("updated_after:2999-01-01", set()),
    ],
)
async def test_packages_are_found(shelf: TestHub, text: str, found: set[str]) -> None:
    today = shelf.hub.now().date()
    hits = await shelf.hub.catalogue.find(["hexpm"], Query.parse(text), "name", today)
    assert {hit.name for hit in hits} == found


async def test_the_catalogue_follows_every_change(shelf: TestHub, mara: Person) -> None:
    today = shelf.hub.now().date()
    await shelf.hub.catalogue.ready(today)
    await mara.publish(tarball("jason", "1.1.0", {"a": b"a"}, description="New words"))
    (hit,) = await shelf.hub.catalogue.find(["hexpm"], Query.parse("name:jason"), "name", today)
    assert (hit.latest, hit.description) == ("1.1.0", "New words")
    await mara.delete("/api/packages/web/releases/1.0.0")
    assert not await shelf.hub.catalogue.find(["hexpm"], Query.parse("web"), "name", today)


async def docs(person: Person, name: str, **pages: str) -> None:
    files = {name.replace("_", "."): text.encode() for name, text in pages.items()}
    answer = await person.post(
        f"/api/packages/{name}/releases/1.0.0/docs", data=docs_archive(files)
    )
    assert answer.status == 201, answer.body


async def test_documentation_is_found_by_its_text_until_it_is_deleted(
    shelf: TestHub, mara: Person
) -> None:
    page = "<title>Changesets</title><body>Cast and validate<script>hidden()</script></body>"
    await docs(mara, "jason", index_html=page)
    search = shelf.hub.docs_search
    await search.settled()
    (hit,) = await search.find("valid", ["hexpm"])
    assert (hit.package, hit.title, hit.ref) == ("jason", "Changesets", "index.html")
    assert not await search.find("hidden", ["hexpm"])
    assert not await search.find("valid", ["acme"])
    await mara.delete("/api/packages/jason/releases/1.0.0/docs")
    await search.settled()
    assert not await search.find("valid", ["hexpm"])


@pytest.mark.parametrize(
    "data",
    [
        "searchData=[[[",
        'searchData={"items": 5}',
        'searchData={"items":[{"title":"a","ref":"javascript:alert(1)","doc":"evil"}]}',
        'searchData={"items":[{"title":"a","ref":"../../../login","doc":"evil"}]}',
        'searchData={"items":[{"title":5,"ref":[],"doc":{}}]}',
        "searchData=" + "[" * 100_000,
    ],
)
async def test_search_data_of_strangers_is_believed_in_nothing(
    shelf: TestHub, mara: Person, data: str
) -> None:
    files = {"index.html": b"<body>fine", "dist/search_data-0123ABCD.js": data.encode()}
    await mara.post("/api/packages/jason/releases/1.0.0/docs", data=docs_archive(files))
    await shelf.hub.docs_search.settled()
    assert not await shelf.hub.docs_search.find("evil", ["hexpm"])
    assert await shelf.hub.docs_search.find("fine", ["hexpm"])


@pytest.mark.parametrize(
    "text", ['"', "a OR b", "NEAR(a b)", "*", "title:x", "(((", "x" * 5000, "\0"]
)
async def test_no_question_is_an_expression_of_the_index(shelf: TestHub, text: str) -> None:
    assert await shelf.hub.docs_search.find(text, ["hexpm"]) == []


async def test_what_is_found_reads_as_text_and_not_as_markdown(
    shelf: TestHub, mara: Person
) -> None:
    doc = (
        "# Glow\n\nSee `Glow.fade/2` and the [guide](guide.md), ![a lamp](lamp.png).\n\n"
        "```elixir\nGlow.fade(:lamp)\n```\n\n> **Careful** with snake_case and 2 * 3."
    )
    data = json.dumps({"items": [{"title": "Glow", "ref": "glow.html", "doc": doc}]})
    files = {"index.html": b"x", "dist/search_data-0123ABCD.js": f"searchData={data}".encode()}
    await mara.post("/api/packages/jason/releases/1.0.0/docs", data=docs_archive(files))
    await shelf.hub.docs_search.settled()
    (hit,) = await shelf.hub.docs_search.find("fade", ["hexpm"])
    assert "".join(hit.excerpt) == (
        "Glow See Glow.fade/2 and the guide, a lamp. Glow.fade(:lamp) "
        "Careful with snake_case and 2 * 3."
    )
