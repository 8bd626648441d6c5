"""Answers of the mirror that are sent again without being made again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hexhub.domain import upstream_names
from hexhub.domain.audit import OPERATOR
from tests.hexhub.mirrors import Pair, mirroring
from tests.hexhub.packages import package
from tests.hexhub.repositories.test_confusion import _reserve as reserve
from tests.hexhub.repositories.test_rules import rule

PATHS = [
    "/packages/pine",
    "/repo/packages/pine",
    "/tarballs/pine-1.0.0.tar",
    "/repo/tarballs/pine-1.0.0.tar",
]


@pytest.fixture
async def hot(tmp_path: Path, upstream_keys: tuple[Path, Path]) -> AsyncIterator[Pair]:
    """A mirror that has answered for `pine` a few times."""
    async with mirroring(tmp_path, upstream_keys, hot=True) as pair:
        await pair.publish("pine", "1.0.0")
        for _ in range(3):
            for path in [*PATHS, "/names", "/repo/names"]:
                assert (await pair.get(path)).status == 200
        yield pair


async def test_they_are_the_same_and_counted(hot: Pair) -> None:
    mirror = hot.hub.hub.mirror
    assert mirror is not None
    for path in PATHS:
        first, second = await hot.get(path), await hot.get(path)
        assert first.body == second.body
        assert first.headers["X-Cache"] == second.headers["X-Cache"] == "HIT"
    before = mirror.mirrored.answers["hit"]
    for path in PATHS:
        await hot.get(path)
    assert mirror.mirrored.answers["hit"] >= before + len(PATHS)


@pytest.mark.parametrize("path", PATHS[1:])
async def test_a_rule_holds_from_the_moment_that_it_is_set(hot: Pair, path: str) -> None:
    await rule(hot, "deny", "pine")
    assert (await hot.get(path)).status == 403


@pytest.mark.parametrize("path", PATHS)
async def test_a_reservation_holds_from_the_moment_that_it_is_made(hot: Pair, path: str) -> None:
    await reserve(hot, "pin*")
    assert (await hot.get(path)).status == 404


@pytest.mark.parametrize("path", PATHS)
async def test_a_private_package_of_the_name_is_guarded_at_once(hot: Pair, path: str) -> None:
    await hot.hub.organization("acme", hot.mara)
    hub = hot.hub.hub

    await hub.store.transact(upstream_names.allow, OPERATOR, "acme", "pine", "own", hub.now())
    assert (await hot.mara.publish(package("pine"), repository="acme")).status == 201
    assert (await hot.get(path)).status == 404
