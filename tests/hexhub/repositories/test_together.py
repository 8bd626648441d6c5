"""One member asks the upstream for all: which one, and what happens when it cannot."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest

from cluster import Member
from hexhub.errors import HubError, NotFound, Unreachable
from hexhub.repositories.together import Together, Vouched
from hexhub.schema import Kept

NAMES = ("a", "b", "c")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PATHS = [f"{kind}" for kind in ("names", "versions")] + [f"packages/p{n}" for n in range(20)]
Handler: TypeAlias = Callable[..., Coroutine[Any, Any, None]]


class Wires:
    """Streams between members of one process; those in `dead` do not answer."""

    def __init__(self) -> None:
        self.serving: dict[str, Handler] = {}
        self.dead: set[str] = set()
        self.opened: Counter[str] = Counter()

    def of(self, me: str) -> Any:
        @asynccontextmanager
        async def open_(member: str, service: str) -> AsyncIterator[tuple[Any, Any]]:
            self.opened[member] += 1
            if member in self.dead:
                raise ConnectionRefusedError
            there: asyncio.Queue[bytes] = asyncio.Queue()
            back: asyncio.Queue[bytes] = asyncio.Queue()
            serving = asyncio.create_task(
                self.serving[member](SimpleNamespace(name=me), _reader(there), _writer(back))
            )
            try:
                yield _reader(back), _writer(there)
            finally:
                await serving

        def serve(service: str, handler: Handler) -> None:
            self.serving[me] = handler

        return SimpleNamespace(open=open_, serve=serve)


def _reader(queue: asyncio.Queue[bytes]) -> SimpleNamespace:
    return SimpleNamespace(read=queue.get)


def _writer(queue: asyncio.Queue[bytes]) -> SimpleNamespace:
    return SimpleNamespace(write=queue.put)


class Cluster:
    """Three members; `error` is what asking the upstream comes to, where it is set."""

    def __init__(self) -> None:
        self.wires = Wires()
        self.asked: list[tuple[str, str]] = []
        """Which member asked the upstream for which path."""
        self.error: HubError | None = None
        self.unreachable: set[str] = set()
        self.members = {
            name: Together(self.wires.of(name), name, self._seen, self._get(name)) for name in NAMES
        }

    def _seen(self) -> list[Member]:
        return [
            Member(name=name, role="", reachable=name not in self.unreachable, applied=0, lag=0)
            for name in NAMES
        ]

    def _get(self, name: str) -> Callable[[str, datetime | None], Awaitable[Vouched]]:
        async def get(path: str, newer_than: datetime | None) -> Vouched:
            # Asked for another, it must not ask a third: that could go in circles.
            assert await self.members[name].fetch(path, newer_than) is None
            self.asked.append((name, path))
            if self.error is not None:
                raise self.error
            row = Kept(path=path, checksum=b"1", size=1, upstream="u", etag=None, fetched_at=NOW)
            return Vouched(row, NOW)

        return get


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


async def test_all_members_name_the_same_one_and_it_alone_asks(cluster: Cluster) -> None:
    for path in PATHS:
        cluster.asked.clear()
        found = [await cluster.members[name].fetch(path, None) for name in NAMES]
        assert [each.row.path for each in found if each is not None] == [path, path]
        assert len({name for name, _ in cluster.asked}) == 1
    assert set(cluster.wires.opened) == set(NAMES)  # the work is spread


async def test_files_of_one_package_are_one_members(cluster: Cluster) -> None:
    for path in ("packages/pine", "tarballs/pine-1.0.0.tar", "docs/pine-1.0.0.tar.gz"):
        for name in NAMES:
            await cluster.members[name].fetch(path, None)
    assert len({name for name, _ in cluster.asked}) == 1


async def test_another_is_named_for_a_member_that_cannot_be_reached(cluster: Cluster) -> None:
    for path in PATHS:
        await cluster.members["a"].fetch(path, None)
    assert {"b", "c"} == {name for name, _ in cluster.asked}
    cluster.unreachable = {"c"}
    cluster.asked.clear()
    for path in PATHS:
        await cluster.members["a"].fetch(path, None)
    assert {name for name, _ in cluster.asked} == {"b"}


async def test_who_gets_no_answer_asks_the_upstream_itself(cluster: Cluster) -> None:
    cluster.wires.dead = {"b", "c"}
    assert [await cluster.members["a"].fetch(path, None) for path in PATHS] == [None] * len(PATHS)
    cluster.wires.dead = set()
    cluster.error = Unreachable("no way out from there")
    assert [await cluster.members["a"].fetch(path, None) for path in PATHS] == [None] * len(PATHS)


async def test_a_name_that_is_missing_there_is_missing_here(cluster: Cluster) -> None:
    cluster.error = NotFound()
    missing = 0
    for path in PATHS:
        try:
            assert await cluster.members["a"].fetch(path, None) is None  # a's own to ask
        except NotFound:
            missing += 1
    assert missing == len(cluster.asked) > 0


async def test_what_is_not_shared_is_everybodys_own(cluster: Cluster) -> None:
    assert await cluster.members["a"].fetch("api/packages/pine", None) is None
    assert not cluster.wires.opened
