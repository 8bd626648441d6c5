"""A node that lacks objects brings them, without being asked."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from cluster import Node, NodeSettings, Store, Transaction
from hexhub import turns
from hexhub.domain import objects
from hexhub.schema import Kept, schema
from hexhub.storage import catch_up
from hexhub.storage.catch_up import CatchUp
from tests.hexhub.storage.several import One, several

CONTENT = b"an object"
NAME = hashlib.sha256(CONTENT).digest()


def _point(tx: Transaction, checksum: bytes) -> None:
    then = datetime(2026, 1, 1, tzinfo=UTC)
    tx.put(Kept(path=checksum.hex(), checksum=checksum, size=1, upstream="u", fetched_at=then))


@asynccontextmanager
async def _catching_up(node: One, store: Store) -> AsyncIterator[None]:
    work = CatchUp(
        node.storage, store, objects.CARRIERS, objects.of, partial(turns.pointed_to, settle_s=0)
    )
    task = asyncio.create_task(work.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def _tables(folder: Path) -> AsyncIterator[Store]:
    node = await Node.open(NodeSettings(name="n", directory=folder / "tables"), schema)
    try:
        yield node.store
    finally:
        await node.close()


async def _until_held(node: One) -> None:
    async with asyncio.timeout(20):
        while not node.holds(NAME) or node.storage.behind:  # noqa: ASYNC110 - files tell nobody
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_up, "SETTLE_S", 0.0)
    monkeypatch.setattr(catch_up, "AGAIN_S", 0.02)


async def test_what_was_missed_is_brought_at_the_start(tmp_path: Path) -> None:
    async with several(tmp_path, 2) as (one, two), _tables(tmp_path) as store:
        await one.storage.keep(one.spooled(CONTENT))
        await store.transact(_point, NAME)
        async with _catching_up(two, store):
            await _until_held(two)


async def test_what_is_new_is_brought_as_soon_as_it_is_pointed_to(tmp_path: Path) -> None:
    async with (
        several(tmp_path, 2) as (one, two),
        _tables(tmp_path) as store,
        _catching_up(two, store),
    ):
        await asyncio.sleep(0.05)
        await one.storage.keep(one.spooled(CONTENT))
        await store.transact(_point, NAME)
        await _until_held(two)


async def test_what_no_peer_has_is_counted_and_brought_later(tmp_path: Path) -> None:
    async with several(tmp_path, 2) as (one, two), _tables(tmp_path) as store:
        await store.transact(_point, NAME)
        async with _catching_up(two, store):
            async with asyncio.timeout(20):
                while two.storage.behind != 1:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            await one.storage.keep(one.spooled(CONTENT))
            await _until_held(two)
