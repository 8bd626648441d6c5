"""The bucket when its server is slow, wrong, away or refuses; and the copies before it."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from hexhub.errors import Refused, Unavailable
from hexhub.storage import s3
from hexhub.storage.hybrid import HybridStorage
from hexhub.storage.local import Damaged, LocalStorage
from hexhub.storage.s3 import PART, S3Storage
from hexhub.storage.spool import Spool
from tests.hexhub import hubs
from tests.hexhub.packages import docs, package
from tests.hexhub.storage import buckets
from tests.hexhub.storage.buckets import Faults
from tests.hexhub.storage.test_conformance import put, read


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "RETRY_S", 0.01)
    monkeypatch.setattr(s3, "TRIES", 2)


@pytest.fixture
async def proxied(s3_server: str) -> AsyncIterator[tuple[S3Storage, Faults]]:
    bucket = await buckets.make_bucket(s3_server)
    async with buckets.faulty(s3_server) as (address, faults):
        storage = await S3Storage.connect(replace(bucket, endpoint=address))
        yield storage, faults
        await storage.close()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


BODY = os.urandom(300_000)
LARGE = os.urandom(PART + 1000)


@pytest.mark.parametrize("status", [500, 503, 0])
async def test_a_request_that_failed_once_is_made_again(
    proxied: tuple[S3Storage, Faults], spool: Spool, status: int
) -> None:
    storage, faults = proxied
    faults.statuses = [status]
    checksum = await put(storage, spool, BODY)
    faults.statuses = [status]
    assert await read(storage, checksum) == BODY


async def test_an_answer_that_ends_early_is_taken_up_where_it_broke(
    proxied: tuple[S3Storage, Faults], spool: Spool
) -> None:
    storage, faults = proxied
    checksum = await put(storage, spool, BODY)
    faults.cut_after = [100_000, 0, 50_000]
    assert await read(storage, checksum) == BODY
    assert faults.cut_after == []
    faults.cut_after = [10] * 50
    with pytest.raises(Unavailable):
        await read(storage, checksum)


async def test_wrong_bytes_never_come_to_their_end(
    proxied: tuple[S3Storage, Faults], spool: Spool
) -> None:
    storage, faults = proxied
    checksum = await put(storage, spool, BODY)
    faults.flip = True
    blob = await storage.open(checksum)
    given: list[bytes] = []

    async def take() -> None:
        async for chunk in blob.chunks(0, blob.size):
            given.append(chunk)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(Damaged):
        await take()
    assert sum(map(len, given)) < blob.size
    assert storage.damaged == 1
    faults.flip = False
    await put(storage, spool, BODY)
    assert storage.damaged == 0
    assert await read(storage, checksum) == BODY


async def test_an_upload_in_parts_that_fails_leaves_neither_object_nor_parts(
    proxied: tuple[S3Storage, Faults], spool: Spool, s3_server: str
) -> None:
    storage, faults = proxied

    async def fail_after_begin() -> None:
        while not any(method == "PUT" for method, _ in faults.seen):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        faults.statuses = [503] * 2

    task = asyncio.create_task(fail_after_begin())
    faults.latency_s = 0.02
    with pytest.raises(Unavailable):
        await put(storage, spool, LARGE)
    await task
    assert await storage.missing([hashlib.sha256(LARGE).digest()])
    assert "DELETE" in [method for method, _ in faults.seen]
    faults.statuses, faults.latency_s = [], 0.0
    assert await read(storage, await put(storage, spool, LARGE)) == LARGE


@pytest.mark.parametrize(
    ("change", "said"),
    [({"name": "no-such-bucket"}, "no such bucket"), ({"prefix": "ok"}, None)],
)
async def test_the_check_at_start_says_what_is_wrong(
    s3_server: str, change: dict[str, str], said: str | None
) -> None:
    bucket = replace(await buckets.make_bucket(s3_server), **change)  # type: ignore[arg-type]
    storage = await S3Storage.connect(bucket)
    if said is None:
        await storage.check()
        assert [each async for each in storage.names()] == []
    else:
        with pytest.raises(Refused, match=said) as refused:
            await storage.check()
        assert "example" not in str(refused.value)
    await storage.close()


async def test_a_server_that_is_away_is_told_from_one_that_refuses(
    proxied: tuple[S3Storage, Faults],
) -> None:
    storage, faults = proxied
    faults.down = True
    with pytest.raises(Unavailable):
        await storage.check()
    faults.down = False
    faults.statuses = [403]
    with pytest.raises(Refused, match="do not allow it"):
        await storage.check()
    await storage.check()


# --- the copies of `hybrid`


@pytest.fixture
async def hybrid(
    proxied: tuple[S3Storage, Faults], tmp_path: Path
) -> AsyncIterator[tuple[HybridStorage, Faults]]:
    storage, faults = proxied
    local = LocalStorage(tmp_path / "cache")
    found = HybridStorage(storage, local, Spool(tmp_path / "spool-cache"), 100_000)
    await found.begin()
    yield found, faults
    await local.close()


async def test_what_is_here_is_read_while_the_bucket_is_away(
    hybrid: tuple[HybridStorage, Faults], spool: Spool
) -> None:
    storage, faults = hybrid
    checksum = await put(storage, spool, b"warm" * 100)
    faults.down = True
    assert await read(storage, checksum) == b"warm" * 100
    with pytest.raises(Unavailable):
        await put(storage, spool, b"new")
    with pytest.raises(Unavailable):
        await storage.open(hashlib.sha256(b"cold").digest())


async def test_the_longest_unused_copies_go_first_and_come_back(
    hybrid: tuple[HybridStorage, Faults], spool: Spool
) -> None:
    storage, _ = hybrid
    bodies = [bytes([number]) * 30_000 for number in range(3)]
    sums = [await put(storage, spool, body) for body in bodies]
    await read(storage, sums[0])
    await put(storage, spool, b"z" * 30_000)
    assert storage.cached_bytes <= 100_000
    before = storage.misses
    assert await read(storage, sums[0]) == bodies[0]
    assert storage.misses == before
    assert await read(storage, sums[1]) == bodies[1]
    assert storage.misses == before + 1


async def test_many_readers_of_a_cold_object_fetch_it_once(
    hybrid: tuple[HybridStorage, Faults], spool: Spool, tmp_path: Path
) -> None:
    storage, faults = hybrid
    checksum = await put(storage, spool, b"cold" * 5000)
    await storage._local.drop(checksum)
    faults.seen.clear()
    await asyncio.gather(*(read(storage, checksum) for _ in range(20)))
    assert [method for method, _ in faults.seen].count("GET") == 1


async def test_a_copy_with_a_flipped_bit_is_fetched_again(
    hybrid: tuple[HybridStorage, Faults], spool: Spool, tmp_path: Path
) -> None:
    storage, _ = hybrid
    checksum = await put(storage, spool, b"sound" * 100)
    copy = tmp_path / "cache" / checksum.hex()[:2] / checksum.hex()
    copy.write_bytes(b"Sound" + b"sound" * 99)
    fresh = LocalStorage(tmp_path / "cache")
    again = HybridStorage(storage.bucket, fresh, Spool(tmp_path / "spool-again"), 100_000)
    assert await read(again, checksum) == b"sound" * 100
    assert copy.read_bytes() == b"sound" * 100
    await fresh.close()


async def test_copies_of_an_earlier_run_are_taken_up(
    hybrid: tuple[HybridStorage, Faults], spool: Spool, tmp_path: Path
) -> None:
    storage, faults = hybrid
    checksum = await put(storage, spool, b"kept" * 100)
    local = LocalStorage(tmp_path / "cache")
    again = HybridStorage(storage.bucket, local, Spool(tmp_path / "spool-again"), 100_000)
    await again.begin()
    assert again.cached_bytes == 400
    faults.down = True
    assert await read(again, checksum) == b"kept" * 100
    await local.close()


# --- a hub on a bucket


def settings(address: str, bucket: str, kind: str = "s3") -> dict[str, Any]:
    host, _, port = address.removeprefix("http://").partition(":")
    return {
        "storage_type": kind,
        "s3_bucket": bucket,
        "s3_bucket_path": "hub",
        "aws_s3_host": host,
        "aws_s3_port": port,
        "aws_s3_scheme": "http",
        "aws_s3_path_style": "true",
        "aws_access_key_id": buckets.KEYS["access_key_id"],
        "aws_secret_access_key": buckets.KEYS["secret_access_key"],
    }


@pytest.mark.parametrize("kind", ["s3", "hybrid"])
async def test_a_hub_on_a_bucket_publishes_nothing_by_half(
    s3_server: str, tmp_path: Path, kind: str
) -> None:
    bucket = await buckets.make_bucket(s3_server)
    async with (
        buckets.faulty(s3_server) as (address, faults),
        hubs.running(tmp_path, **settings(address, bucket.name, kind)) as hub,
    ):
        mara = await hub.user("mara")
        body = package("decimal")
        assert (await mara.publish(body)).status == 201
        faults.down = True
        refused = await mara.publish(package("decimal", "1.1.0"))
        assert refused.status == 503
        assert "Retry-After" in refused.headers
        assert (await hub.nobody.get("/api/packages/decimal/releases/1.1.0")).status == 404
        assert (await hub.nobody.get("/packages/decimal")).status == 200
        faults.down = False
        assert (await mara.publish(package("decimal", "1.1.0"))).status == 201
        assert (await hub.nobody.get("/tarballs/decimal-1.0.0.tar")).body == body
        docs_path = "/api/packages/decimal/releases/1.0.0/docs"
        assert (await mara.post(docs_path, data=docs())).status == 201
        assert (await hub.nobody.get("/docs/decimal-1.0.0.tar.gz")).body == docs()
        assert hub.faults == []


async def test_redirects_are_for_public_objects_without_credentials(
    s3_server: str, tmp_path: Path
) -> None:
    bucket = await buckets.make_bucket(s3_server)
    given = settings(s3_server, bucket.name) | {"s3_redirect": "true"}
    async with hubs.running(tmp_path, **given) as hub:
        mara = await hub.user("mara")
        await hub.organization("acme", mara)
        body = package("decimal")
        assert (await mara.publish(body)).status == 201
        assert (await mara.publish(package("inner"), repository="acme")).status == 201
        public = await hub.nobody.get("/tarballs/decimal-1.0.0.tar")
        assert public.status == 302
        assert public.headers["Cache-Control"] == "no-store"
        async with ClientSession() as session, session.get(public.headers["Location"]) as found:
            assert await found.read() == body
        assert (await mara.get("/tarballs/decimal-1.0.0.tar")).status == 200
        assert (await mara.get("/repos/acme/tarballs/inner-1.0.0.tar")).status == 200
        assert (await hub.nobody.get("/repos/acme/tarballs/inner-1.0.0.tar")).status != 302
