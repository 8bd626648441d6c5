"""Lists of packages: the search language, order, pages, and who sees what."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

import msgspec
import pytest

from hexhub.domain import downloads
from hexhub.schema import Package
from tests.end_to_end.packages import Requirement, tarball
from tests.hexhub.hubs import Person, TestHub


def package(name: str, version: str = "1.0.0", **more: object) -> bytes:
    return tarball(name, version, {"src/a.erl": b"-module(a).\n"}, **more)  # type: ignore[arg-type]


async def found(who: Person, search: str = "", more: str = "", base: str = "/api") -> list[str]:
    answer = await who.get(f"{base}/packages?search={quote(search)}{more}")
    assert answer.status == 200, answer.body
    return [row["name"] for row in answer.value]


@pytest.fixture
async def shelf(hub: TestHub, mara: Person) -> Person:
    """Three public packages and one private one."""
    for tar in (
        package("acorn", description="Seeds of oaks", build_tools=("rebar3",)),
        package("beech_nut", description="Another seed / nut", build_tools=("mix", "make")),
        package("oak", description="A tree", requirements={"acorn": Requirement("~> 1.0")}),
    ):
        assert (await mara.publish(tar)).status == 201
    await hub.organization("forest", mara)
    assert (await mara.publish(package("acorn_tools"), repository="forest")).status == 201
    return mara


@pytest.mark.parametrize(
    ("search", "names"),
    [
        ("", ["acorn", "acorn_tools", "beech_nut", "oak"]),
        ("  acorn ", ["acorn", "acorn_tools"]),
        ("ACOR", ["acorn", "acorn_tools"]),
        ("ac", []),
        ("ac%", []),
        ("beech_nut", ["beech_nut"]),
        ("beechXnut", []),
        ("seed", ["acorn", "beech_nut"]),
        ("trees of seeds", ["acorn", "beech_nut", "oak"]),
        ("forest/acorn", ["acorn_tools"]),
        ("forest/oak", ["acorn"]),
        ("name:acorn", ["acorn"]),
        ("name:acorn*", ["acorn", "acorn_tools"]),
        ("name:*nut", ["beech_nut"]),
        ("name:*o*", ["acorn", "acorn_tools", "oak"]),
        ("name:forest/acorn*", ["acorn_tools"]),
        ("description:tree", ["oak"]),
        ('description:"another tree"', ["beech_nut", "oak"]),
        ("depends:acorn", ["oak"]),
        ("depends:hexpm:acorn", ["oak"]),
        ("depends:forest:acorn", []),
        ("build_tool:mix", ["beech_nut"]),
        ("build_tool:mi", []),
        ("name:oak name:acorn", ["acorn"]),
        ("acorn build_tool:mix", []),
        ("colour:green acorn", ["acorn", "acorn_tools"]),
        (":acorn", []),
        ("extra:acorn", []),
        ("updated_after:2020-01-01T00:00:00Z name:oak", ["oak"]),
        ("updated_after:2999-01-01T00:00:00Z", []),
        ("updated_after:yesterday name:oak", ["oak"]),
        ("updated_after:2999-01-01T00:00:00+02:00 name:oak", ["oak"]),
    ],
)
async def test_the_search_language(shelf: Person, search: str, names: list[str]) -> None:
    assert await found(shelf, search) == names


async def test_extra_metadata_is_searched_by_containment(hub: TestHub, shelf: Person) -> None:
    with hub.hub.store.view() as view:
        row = view.get(Package, "hexpm", "oak")
    assert row is not None
    extra = {"foo": "bar", "n": 7, "deep": {"er": "x"}}
    meta = msgspec.structs.replace(row.meta, extra=extra)
    await hub.hub.store.transact(lambda tx: tx.put(msgspec.structs.replace(row, meta=meta)))

    assert await found(shelf, "extra:foo,bar") == ["oak"]
    assert await found(shelf, "extra:foo,baz") == []
    assert await found(shelf, "extra:n,7") == ["oak"]
    assert await found(shelf, "extra:deep,er,x") == ["oak"]
    assert await found(shelf, "extra:foo,bar extra:n,8") == []


async def test_orders(hub: TestHub, shelf: Person) -> None:
    today = hub.hub.now().date()
    recent, old = today - timedelta(days=3), today - timedelta(days=200)
    counts = {
        ("hexpm", "oak", "1.0.0", old.isoformat()): 9,
        ("hexpm", "acorn", "1.0.0", recent.isoformat()): 2,
    }
    await hub.hub.store.transact(downloads.add, counts)
    await shelf.post("/api/packages/acorn/retire", {"reason": "other"})

    assert await found(shelf, more="&sort=downloads") == [
        "oak",
        "acorn",
        "acorn_tools",
        "beech_nut",
    ]
    assert (await found(shelf, more="&sort=recent_downloads"))[0] == "acorn"
    assert (await found(shelf, more="&sort=total_downloads"))[0] == "oak"
    assert (await found(shelf, more="&sort=inserted_at"))[0] == "acorn_tools"
    assert (await found(shelf, more="&sort=updated_at"))[0] == "acorn"
    assert sorted(await found(shelf, more="&sort=moon")) == sorted(await found(shelf))
    by_update = await found(shelf, "updated_after:2020-01-01T00:00:00Z", "&sort=name")
    assert by_update[-1] == "acorn", "the oldest update comes first, whatever sort says"


async def test_pages(shelf: Person) -> None:
    assert await found(shelf, more="&per_page=2") == ["acorn", "acorn_tools"]
    assert await found(shelf, more="&per_page=2&page=2") == ["beech_nut", "oak"]
    assert await found(shelf, more="&per_page=2&page=3") == []
    assert await found(shelf, more="&per_page=0") == []
    for odd in ("page=0", "page=-1", "page=x", "per_page=-3", "per_page=1000", "page=1.5"):
        assert len(await found(shelf, more=f"&{odd}")) == 4, odd


async def test_everyone_finds_only_what_they_may_see(hub: TestHub, shelf: Person) -> None:
    olaf = await hub.user("olaf")
    forest = await hub.key("forest", "api", organization=True)
    public = ["acorn", "beech_nut", "oak"]

    assert await found(hub.nobody) == public
    assert await found(olaf) == public
    assert await found(olaf, "forest/acorn") == []
    assert await found(forest, "acorn") == ["acorn", "acorn_tools"]
    assert await found(shelf, base="/api/repos/forest") == ["acorn_tools"]
    assert await found(shelf, base="/api/repos/hexpm") == public
    for path in ("/api/repos/forest/packages", "/api/repos/nowhere/packages"):
        assert (await olaf.get(path)).status == 404
        assert (await hub.nobody.get(path)).status == 404
