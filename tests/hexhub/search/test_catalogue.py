"""The catalogue: orders that are kept while packages change are those that sorting would give."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from cluster import Record
from hexhub.schema import PUBLIC, Downloads, Package, Release
from hexhub.search import Query, orders
from hexhub.search.catalogue import SORTS
from hexhub.search.orders import Order, Recent, sort_key
from tests.hexhub.hubs import TestHub

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Item:
    repository: str
    name: str
    created_at: datetime = MOMENT
    updated_at: datetime = MOMENT
    recent_downloads: int = 0
    total_downloads: int = 0


def moments() -> st.SearchStrategy[datetime]:
    return st.integers(0, 3).map(lambda hours: MOMENT + timedelta(hours=hours))


items = st.builds(
    Item,
    repository=st.sampled_from([PUBLIC, "acme", "zeta"]),
    name=st.sampled_from(["a", "b", "c", "d"]),
    created_at=moments(),
    updated_at=moments(),
    recent_downloads=st.integers(0, 2),
    total_downloads=st.integers(0, 2),
)


@settings(deadline=None)
@given(
    sort=st.sampled_from([*SORTS, "updated_after"]),
    first=st.lists(items, unique_by=lambda each: (each.repository, each.name)),
    changes=st.lists(st.tuples(items, st.booleans()), max_size=12),
)
def test_a_kept_order_is_what_sorting_gives(
    sort: str, first: list[Item], changes: list[tuple[Item, bool]]
) -> None:
    here = {(each.repository, each.name): each for each in first}
    order = Order(here.values(), sort_key(sort))
    for item, stays in changes:
        key = (item.repository, item.name)
        order.move(here.get(key), item if stays else None)
        here.pop(key, None)
        if stays:
            here[key] = item
        assert order.values == sorted(here.values(), key=sort_key(sort))


@settings(deadline=None)
@given(
    first=st.lists(st.integers(0, 30), max_size=20, unique=True),
    changes=st.lists(
        st.tuples(
            st.sets(st.integers(0, 30), max_size=3), st.sets(st.integers(31, 60), max_size=3)
        ),
        max_size=6,
    ),
)
def test_the_newest_are_the_newest_until_too_many_have_gone(
    first: list[int], changes: list[tuple[set[int], set[int]]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orders, "RECENT_MIN", 3)
        patch.setattr(orders, "RECENT_MAX", 6)
        here = set(first)
        recent = Recent(here, lambda each: MOMENT + timedelta(hours=each))
        for gone, come in changes:
            gone &= here
            recent.move(sorted(gone), sorted(come - here))
            here = (here - gone) | come
            if recent.exhausted:
                recent = Recent(here, lambda each: MOMENT + timedelta(hours=each))
            newest = sorted(here, reverse=True)
            assert recent.values == newest[: len(recent.values)]
            assert len(recent.values) >= min(3, len(here))


def _put(tx: Any, rows: list[Record]) -> None:
    for row in rows:
        tx.put(row)


def package(name: str, version: str, at: datetime) -> list[Record]:
    return [
        Package(repository=PUBLIC, name=name, created_at=at, updated_at=at),
        Release(
            repository=PUBLIC,
            package=name,
            version=version,
            inner_checksum=bytes(32),
            outer_checksum=bytes(32),
            size=1,
            app=name,
            build_tools=("mix",),
            created_at=at,
            updated_at=at,
        ),
    ]


async def test_lists_totals_and_what_is_new_follow_each_publish(hub: TestHub) -> None:
    catalogue, store = hub.hub.catalogue, hub.hub.store
    today = hub.hub.now().date()
    for number, name in enumerate(("b", "c")):
        await store.transact(_put, package(name, "1.0.0", MOMENT + timedelta(hours=number)))
    for sort in SORTS:
        await catalogue.find([PUBLIC], Query(), sort, today)
    assert [each.package for each in await catalogue.recent([PUBLIC], 5, today)] == ["c", "b"]
    await store.transact(_put, package("a", "1.0.0", MOMENT + timedelta(hours=5)))
    await store.transact(_put, package("b", "1.1.0", MOMENT + timedelta(hours=6)))
    found = {
        sort: [each.name for each in await catalogue.find([PUBLIC], Query(), sort, today)]
        for sort in SORTS
    }
    assert found["name"] == ["a", "b", "c"]
    assert found["inserted_at"] == found["updated_at"] == ["b", "a", "c"]
    recent = await catalogue.recent([PUBLIC], 5, today)
    assert [(each.package, each.version) for each in recent] == [
        ("b", "1.1.0"),
        ("a", "1.0.0"),
        ("c", "1.0.0"),
        ("b", "1.0.0"),
    ]
    assert catalogue.totals([PUBLIC]) == (3, 4, 0)


async def test_downloads_of_today_count_from_tomorrow_on(hub: TestHub) -> None:
    catalogue, store = hub.hub.catalogue, hub.hub.store
    today = date(2026, 5, 5)
    await store.transact(_put, package("a", "1.0.0", MOMENT))
    await catalogue.ready(today)
    day = Downloads(repository=PUBLIC, package="a", version="1.0.0", day="2026-05-05", count=7)
    await store.transact(_put, [day])
    await catalogue.ready(today)
    assert catalogue.totals([PUBLIC]) == (1, 1, 0)
    await catalogue.ready(today + timedelta(days=1))
    assert catalogue.totals([PUBLIC]) == (1, 1, 7)
    listed = catalogue.get(PUBLIC, "a")
    assert listed is not None
    assert listed.recent_downloads == 7
    await catalogue.ready(today + timedelta(days=100))
    later = catalogue.get(PUBLIC, "a")
    assert later == replace(listed, recent_downloads=0)
