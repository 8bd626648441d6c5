"""Many publish and fetch while the bucket throttles, fails, breaks off and is slow: nothing by half."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from hexhub.storage import s3
from tests.hexhub import hubs
from tests.hexhub.hubs import Person, TestHub
from tests.hexhub.packages import package
from tests.hexhub.storage import buckets
from tests.hexhub.storage.buckets import Faults
from tests.hexhub.storage.test_s3 import settings

SEED = 20_260_131
AT_ONCE = 6
ILLS = (503, 500, 0)
"""Throttled, failed, the connection closed."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "RETRY_S", 0.01)
    monkeypatch.setattr(s3, "TRIES", 1)  # so that a fault is felt, and not smoothed over


async def weather(faults: Faults, chance: random.Random, over: asyncio.Event) -> None:
    """One ill after another, until it is over: now a request fails, now an answer is cut."""
    seen = 0
    while not over.is_set():
        if len(faults.seen) > seen:
            seen = len(faults.seen)
            faults.latency_s = chance.choice((0.0, 0.0, 0.02))
            if chance.random() < 0.3:
                faults.statuses = [chance.choice(ILLS)]
            if chance.random() < 0.2:
                faults.cut_after = [chance.randrange(0, 2000)]
        await asyncio.sleep(0.001)
    faults.statuses, faults.cut_after, faults.latency_s = [], [], 0.0


def body_of(number: int) -> bytes:
    return package(f"storm_{number}", text=random.Random(number).randbytes(1500).hex())


async def publish(mara: Person, number: int) -> int:
    return (await mara.publish(body_of(number))).status


async def fetch(hub: TestHub, count: int, over: asyncio.Event) -> int:
    """Fetch what is there again and again; whatever comes whole is right. How much came."""
    came = 0
    while not over.is_set():
        for number in range(count):
            try:
                got = await hub.nobody.get(f"/tarballs/storm_{number}-1.0.0.tar")
            except OSError:
                continue  # broken off: the client knows that it has nothing
            if got.status == 200 and got.body:
                assert got.body == body_of(number)
                came += 1
    return came


async def whole(hub: TestHub, number: int) -> bool:
    """Whether a release is there with everything of it. One that is there by half fails."""
    name = f"storm_{number}"
    shown = (await hub.nobody.get(f"/api/packages/{name}/releases/1.0.0")).status
    registry = (await hub.nobody.get(f"/packages/{name}")).status
    tarball = await hub.nobody.get(f"/tarballs/{name}-1.0.0.tar")
    assert {shown, registry, tarball.status} in ({200}, {404}), name
    if tarball.status == 200:
        assert tarball.body == body_of(number)
    return tarball.status == 200


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("s3", 12),
        pytest.param("s3", 150, marks=pytest.mark.long),
        pytest.param("hybrid", 150, marks=pytest.mark.long),
    ],
)
async def test_a_publish_is_there_whole_or_not_at_all(
    s3_server: str, tmp_path: Path, kind: str, count: int
) -> None:
    bucket = await buckets.make_bucket(s3_server)
    chance, over = random.Random(SEED), asyncio.Event()
    async with (
        buckets.faulty(s3_server) as (address, faults),
        hubs.running(tmp_path, **settings(address, bucket.name, kind)) as hub,
    ):
        mara = await hub.user("mara")
        # The first ones meet one fault for certain, whatever the weather will be.
        faults.statuses = [503]
        statuses = list(await asyncio.gather(*(publish(mara, number) for number in range(AT_ONCE))))
        assert sorted(set(statuses)) == [201, 503]
        around = [
            asyncio.create_task(weather(faults, chance, over)),
            asyncio.create_task(fetch(hub, count, over)),
        ]
        for first in range(AT_ONCE, count, AT_ONCE):
            some = range(first, min(first + AT_ONCE, count))
            statuses += await asyncio.gather(*(publish(mara, number) for number in some))
        over.set()
        await asyncio.gather(*around)
        assert set(statuses) == {201, 503}
        there = [await whole(hub, number) for number in range(count)]
        assert there == [status == 201 for status in statuses]
        for number, done in enumerate(there):
            if not done:
                assert await publish(mara, number) == 201
        assert all([await whole(hub, number) for number in range(count)])
