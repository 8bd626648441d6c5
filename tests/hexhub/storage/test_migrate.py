"""Moving every object to a bucket and back: resumed, verified, and the commands that do it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from hexhub.storage.local import LocalStorage
from hexhub.storage.migrate import Report, migrate
from hexhub.storage.s3 import S3Storage
from hexhub.storage.spool import Spool
from tests.end_to_end.node import RunningNode
from tests.hexhub.packages import package
from tests.hexhub.storage import buckets
from tests.hexhub.storage.test_conformance import put, read
from tests.hexhub.storage.test_s3 import settings


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[LocalStorage]:
    storage = LocalStorage(tmp_path / "storage")
    yield storage
    await storage.close()


def ignore(report: Report) -> None:
    pass


async def test_everything_goes_to_a_bucket_and_comes_back(
    s3_server: str, local: LocalStorage, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool")
    bodies = [bytes([number]) * 1000 for number in range(7)]
    sums = [await put(local, spool, body) for body in bodies]
    bucket = await S3Storage.connect(await buckets.make_bucket(s3_server))
    report = await migrate(local, bucket, spool, ignore)
    assert (report.wanted, report.copied, report.copied_bytes) == (7, 7, 7000)
    again = await migrate(local, bucket, spool, ignore)
    assert (again.there, again.copied) == (7, 0)
    back = LocalStorage(tmp_path / "back")
    assert (await migrate(bucket, back, spool, ignore)).copied == 7
    assert [await read(back, each) for each in sums] == bodies
    await back.close()
    await bucket.close()


async def test_what_failed_is_named_and_brought_by_the_next_run(
    s3_server: str, local: LocalStorage, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool")
    sums = [await put(local, spool, bytes([number]) * 500) for number in range(3)]
    rotten = tmp_path / "storage" / sums[0].hex()[:2] / sums[0].hex()
    sound = rotten.read_bytes()
    rotten.write_bytes(b"rot" * 3)
    plain = await buckets.make_bucket(s3_server)
    async with buckets.faulty(s3_server) as (address, faults):
        fresh = LocalStorage(tmp_path / "storage")
        bucket = await S3Storage.connect(replace(plain, endpoint=address))
        faults.flip = True
        report = await migrate(fresh, bucket, spool, ignore)
        assert set(report.failed) == {each.hex() for each in sums}
        faults.flip = False
        rotten.write_bytes(sound)
        report = await migrate(fresh, bucket, spool, ignore)
        assert report.failed == {}
        assert await read(bucket, sums[0]) == sound
        await bucket.close()
        await fresh.close()


@pytest.mark.long
def test_a_node_moves_to_a_bucket_by_its_commands(s3_server: str, tmp_path: Path) -> None:
    bucket = asyncio.run(buckets.make_bucket(s3_server))
    given = {name.upper(): text for name, text in settings(s3_server, bucket.name).items()}
    node = RunningNode(tmp_path, given | {"STORAGE_TYPE": "local"})
    try:
        node.create_user("mara")
        key = node.create_key("mara", "api")
        body = package("decimal")
        assert node.request("POST", "/api/publish", key=key, body=body).status == 201
        stray = tmp_path / "data/storage/ab" / ("ab" * 32)
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes(b"stray")
        assert "unreferenced: 1" in node.command("storage", "stats")
        assert "0 would be deleted" in node.command("storage", "sweep", "--dry-run")
        assert node.command("storage", "sweep") == "0 deleted"
        stray.unlink()
        assert ", 1 copied" in node.command("storage", "migrate", "--to", "s3")
        assert node.stop() == 0
        assert "1 were there, 0 copied" in node.command("storage", "migrate", "--to", "s3")
        node.environment["STORAGE_TYPE"] = "s3"
        (tmp_path / "data/storage" / hashlib.sha256(body).hexdigest()[:2]).rename(tmp_path / "gone")
        node.restart()
        assert node.request("GET", "/tarballs/decimal-1.0.0.tar").body == body
        assert "objects: 1" in node.command("storage", "stats")
    finally:
        node.stop()
