"""What every storage must do, whichever it is: one suite for all of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hexhub.errors import NotFound
from hexhub.storage import Spooled, Storage
from hexhub.storage.hybrid import HybridStorage
from hexhub.storage.local import LocalStorage
from hexhub.storage.probe import probe
from hexhub.storage.s3 import PART, S3Storage
from hexhub.storage.spool import Spool
from tests.hexhub.storage import buckets
from tests.hexhub.storage.several import several

KINDS = ("local", "s3", "hybrid", "peers")


@pytest.fixture(params=KINDS)
async def storage(
    request: pytest.FixtureRequest, tmp_path: Path, s3_server: str
) -> AsyncIterator[Storage]:
    local = LocalStorage(tmp_path / "storage")
    if request.param == "local":
        yield local
        await local.close()
    elif request.param == "peers":
        await local.close()
        async with several(tmp_path, 3) as nodes:
            yield nodes[0].storage
    else:
        bucket = await S3Storage.connect(await buckets.make_bucket(s3_server, prefix="a/b/"))
        await bucket.check()
        if request.param == "s3":
            await local.close()
            yield bucket
            await bucket.close()
        else:
            hybrid = HybridStorage(bucket, local, Spool(tmp_path / "spool-cache"), 1 << 20)
            await hybrid.begin()
            yield hybrid
            await hybrid.close()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 100_000):
        yield body[start : start + 100_000]


async def put(storage: Storage, spool: Spool, body: bytes) -> bytes:
    async with spool.take(pieces(body), 1 << 30) as spooled:
        await storage.put(spooled)
    return hashlib.sha256(body).digest()


async def read(storage: Storage, checksum: bytes, start: int = 0, end: int | None = None) -> bytes:
    blob = await storage.open(checksum)
    end = blob.size if end is None else end
    return b"".join([chunk async for chunk in blob.chunks(start, end)])


BODIES = [b"", b"x", b"a package" * 1000, bytes(range(256)) * 9000]


@pytest.mark.parametrize("body", BODIES, ids=len)
async def test_what_was_put_is_read_as_it_was(storage: Storage, spool: Spool, body: bytes) -> None:
    checksum = await put(storage, spool, body)
    blob = await storage.open(checksum)
    assert blob.size == len(body)
    assert await blob.read() == body
    assert await read(storage, checksum) == body
    half = len(body) // 2
    assert await read(storage, checksum, half, len(body)) == body[half:]
    assert await read(storage, checksum, 0, half) == body[:half]
    assert storage.damaged == 0


async def test_an_object_of_several_parts_is_whole(storage: Storage, spool: Spool) -> None:
    body = hashlib.sha256(b"seed").digest() * (PART // 32 * 2 + 1000)
    checksum = await put(storage, spool, body)
    assert (await storage.open(checksum)).size == len(body)
    assert await read(storage, checksum) == body


async def test_it_is_tried_out_and_nothing_stays(storage: Storage, spool: Spool) -> None:
    steps = await probe(storage, spool)
    assert [(step.name, step.wrong) for step in steps] == [
        ("written", None),
        ("read back", None),
        ("deleted", None),
    ]
    assert [name async for name in storage.names()] == []


async def test_pieces_are_bounded(storage: Storage, spool: Spool) -> None:
    body = bytes(3 << 20)
    blob = await storage.open(await put(storage, spool, body))
    sizes = [len(chunk) async for chunk in blob.chunks(0, blob.size)]
    assert max(sizes) <= 1 << 20
    assert sum(sizes) == len(body)


async def test_what_is_not_there_is_not_found(storage: Storage) -> None:
    with pytest.raises(NotFound):
        await storage.open(hashlib.sha256(b"nothing").digest())


async def test_putting_twice_changes_nothing_and_leaves_no_file(
    storage: Storage, spool: Spool, tmp_path: Path
) -> None:
    first = await put(storage, spool, b"twice")
    assert await put(storage, spool, b"twice") == first
    assert await read(storage, first) == b"twice"
    assert list((tmp_path / "spool").iterdir()) == []


async def test_many_may_put_the_same_at_once(storage: Storage, spool: Spool) -> None:
    body = b"same" * 5000
    found = await asyncio.gather(*(put(storage, spool, body) for _ in range(8)))
    assert await read(storage, found[0]) == body


async def test_a_sweep_takes_what_is_old_and_not_to_be_kept(storage: Storage, spool: Spool) -> None:
    kept = await put(storage, spool, b"kept")
    left = await put(storage, spool, b"left")
    assert await storage.sweep([kept], older_than_s=3600) == 0
    assert await read(storage, left) == b"left"
    assert await storage.sweep([kept], older_than_s=-5) == 1
    assert await read(storage, kept) == b"kept"


async def test_keeping_is_enough_to_read(storage: Storage, spool: Spool, tmp_path: Path) -> None:
    async with spool.take(pieces(b"kept copy"), 100) as spooled:
        assert isinstance(spooled, Spooled)
        await storage.keep(spooled)
    assert await read(storage, hashlib.sha256(b"kept copy").digest()) == b"kept copy"
