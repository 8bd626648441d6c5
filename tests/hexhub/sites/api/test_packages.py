"""Lists of packages: scope, order, pages, free-text search (http-api.md §1.11, §3.6)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from hexhub.domain import downloads
from hexhub.schema import Package, PackageMeta
from tests.hexhub.hubs import ERLANG, Person, TestHub
from tests.hexhub.packages import package

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILLER = 205


@pytest.fixture(scope="module")
def hub(module_hub: TestHub) -> TestHub:
    """One hub for all tests here."""
    return module_hub


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def people(hub: TestHub, module_mara: Person) -> dict[str, Person]:
    """A member, a stranger, an organization's key; and what there is to find."""
    mara = module_mara
    await hub.organization("forest", mara)
    told = {
        "acorn": "Seeds of trees, growing slowly",
        "oak_tree": "A big plant",
        "plug": "Connect 100% of under_score things",
        "jason": "Blazing parsers for JSON",
        "jason_native": "Native helpers",
    }
    for name, description in told.items():
        assert (await mara.publish(package(name, description=description))).status == 201
        hub.clock.ahead += timedelta(seconds=1)
    private = package("secret_oak", description="Hidden seeds")
    assert (await mara.publish(private, repository="forest")).status == 201
    today = hub.hub.now().date()
    counts = {"plug": {1: 5, 200: 1}, "acorn": {200: 50}, "jason": {2: 2}}
    await hub.hub.store.transact(
        downloads.add,
        {
            ("hexpm", name, "1.0.0", (today - timedelta(days=age)).isoformat()): count
            for name, by_age in counts.items()
            for age, count in by_age.items()
        },
    )
    return {
        "mara": mara,
        "stranger": await hub.user("otto"),
        "organization": await hub.key("forest", "api", organization=True),
        "nobody": hub.nobody,
    }


async def _names(person: Person, query: str = "", prefix: str = "/api") -> list[str]:
    answer = await person.get(f"{prefix}/packages{query}")
    assert answer.status == 200
    return [entry["name"] for entry in answer.value]


PUBLIC = ["acorn", "jason", "jason_native", "oak_tree", "plug"]


async def test_a_list_holds_what_the_caller_may_see_by_name(people: dict[str, Person]) -> None:
    assert await _names(people["nobody"]) == PUBLIC
    assert await _names(people["stranger"]) == PUBLIC
    assert await _names(people["mara"]) == [*PUBLIC, "secret_oak"]
    assert await _names(people["organization"]) == [*PUBLIC, "secret_oak"]
    assert await _names(people["mara"], prefix="/api/repos/forest") == ["secret_oak"]
    assert await _names(people["mara"], prefix="/api/repos/hexpm") == PUBLIC
    for who in ("nobody", "stranger"):
        for name in ("forest", "unknown"):
            assert (await people[who].get(f"/api/repos/{name}/packages")).status == 404


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("name", PUBLIC),
        ("total_downloads", ["acorn", "plug", "jason"]),
        ("downloads", ["acorn", "plug", "jason"]),
        ("recent_downloads", ["plug", "jason"]),
        ("inserted_at", ["jason_native", "jason", "plug", "oak_tree", "acorn"]),
        ("updated_at", ["jason_native", "jason", "plug", "oak_tree", "acorn"]),
    ],
)
async def test_a_list_is_sorted_as_asked(
    people: dict[str, Person], sort: str, expected: list[str]
) -> None:
    found = await _names(people["nobody"], f"?sort={sort}")
    assert found[: len(expected)] == expected
    assert sorted(found) == PUBLIC


async def test_an_unknown_order_loses_nothing(people: dict[str, Person]) -> None:
    assert sorted(await _names(people["nobody"], "?sort=colour")) == PUBLIC


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("", PUBLIC),
        ("%20%20", PUBLIC),
        ("jason", ["jason", "jason_native"]),
        ("JASON", ["jason", "jason_native"]),
        ("aso", ["jason", "jason_native"]),
        ("oak", ["oak_tree"]),
        ("seed", ["acorn"]),
        ("grow", ["acorn"]),
        ("parser", ["jason"]),
        ("nothing_at_all", []),
        ("ja", []),
        ("%25", []),
        ("_", []),
        ("hexpm/jason", ["jason", "jason_native"]),
        ("hexpm/oak_tree", ["oak_tree"]),
        ("forest/secret_oak", []),
        ("plant%20seeds", ["acorn", "oak_tree"]),
    ],
)
async def test_free_text_finds_names_and_descriptions(
    people: dict[str, Person], search: str, expected: list[str]
) -> None:
    assert await _names(people["nobody"], f"?search={search}") == expected


async def test_search_never_shows_what_is_hidden(people: dict[str, Person]) -> None:
    for who, expected in (("mara", ["secret_oak"]), ("stranger", []), ("nobody", [])):
        assert await _names(people[who], "?search=secret_oak") == expected
        assert await _names(people[who], "?search=hidden") == expected
    assert await _names(people["mara"], "?search=forest/secret_oak") == ["secret_oak"]


async def test_a_search_with_the_order_that_mix_asks_for(people: dict[str, Person]) -> None:
    answer = await people["nobody"].get("/api/packages?search=jason&sort=downloads", Accept=ERLANG)
    assert [entry["name"] for entry in answer.value] == ["jason", "jason_native"]


def _fill(tx: Any, moment: Any) -> None:
    for number in range(FILLER):
        tx.put(
            Package(
                repository="big",
                name=f"p{number:03d}",
                meta=PackageMeta(),
                created_at=moment,
                updated_at=moment,
            )
        )


async def test_pages_end_with_an_empty_one(hub: TestHub, people: dict[str, Person]) -> None:
    mara = people["mara"]
    await hub.organization("big", mara)
    await hub.hub.store.transact(_fill, hub.hub.now())

    async def ask(query: str) -> list[str]:
        return await _names(mara, query, prefix="/api/repos/big")

    everything = [f"p{number:03d}" for number in range(FILLER)]
    assert await ask("") == everything[:100]
    assert await ask("?page=2") == everything[100:200]
    assert await ask("?page=3") == everything[200:]
    assert await ask("?page=4") == []
    assert await ask(f"?page={10**30}") == []
    assert await ask("?per_page=10&page=3") == everything[20:30]
    assert await ask("?per_page=1000") == everything[:100]
    assert await ask("?per_page=0") == []
    for bad in ("0", "-1", "1.5", "two", "%20", "1e3", "%D9%A3", ""):
        assert await ask(f"?page={bad}") == everything[:100]
    for bad in ("-1", "ten", "", "%D9%A3"):
        assert await ask(f"?per_page={bad}") == everything[:100]
