"""Every setting of the bucket reaches it: name, prefix, host, port, scheme, style, keys, encryption."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from hexhub import parts
from hexhub.config import load
from hexhub.storage.s3 import PART, Bucket, S3Storage
from hexhub.storage.spool import Spool
from tests.hexhub.storage import buckets
from tests.hexhub.storage.test_conformance import put, read

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example"}


def bucket_of(folder: Path, **environ: str) -> Bucket:
    given = {"STORAGE_TYPE": "s3", "S3_BUCKET": "hub", **KEYS, **environ}
    return parts.bucket_of(load(given, checkout=folder))


def test_every_variable_of_the_bucket_is_used(tmp_path: Path) -> None:
    assert bucket_of(tmp_path) == Bucket(
        name="hub", access_key_id="AKIAEXAMPLE", secret_access_key="example"
    )
    assert bucket_of(
        tmp_path,
        S3_BUCKET_PATH="packages",
        AWS_REGION="eu-central-1",
        AWS_S3_HOST="minio.example.com",
        AWS_S3_PORT="9000",
        AWS_S3_SCHEME="http://",
        AWS_S3_PATH_STYLE="true",
        HEXHUB_S3_ENCRYPTION="aws:kms",
        HEXHUB_S3_KMS_KEY="key-1",
    ) == Bucket(
        name="hub",
        prefix="packages",
        region="eu-central-1",
        endpoint="http://minio.example.com:9000",
        path_style=True,
        access_key_id="AKIAEXAMPLE",
        secret_access_key="example",
        encryption="aws:kms",
        kms_key="key-1",
    )
    assert bucket_of(tmp_path, AWS_S3_HOST="::1").endpoint == "https://[::1]"


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({}, "https://hub.s3.amazonaws.com/{key}"),
        ({"AWS_REGION": "eu-north-1"}, "https://hub.s3.eu-north-1.amazonaws.com/{key}"),
        ({"AWS_S3_PATH_STYLE": "true"}, "https://s3.amazonaws.com/hub/{key}"),
        (
            {"AWS_S3_HOST": "s3.example.com", "AWS_S3_PORT": "9000", "AWS_S3_SCHEME": "http"},
            "http://hub.s3.example.com:9000/{key}",
        ),
        (
            {"AWS_S3_HOST": "s3.example.com", "AWS_S3_PATH_STYLE": "true", "S3_BUCKET_PATH": "a/b"},
            "https://s3.example.com/hub/a/b/{key}",
        ),
    ],
)
async def test_objects_are_where_host_style_and_prefix_say(
    tmp_path: Path, environ: dict[str, str], address: str
) -> None:
    storage = await S3Storage.connect(bucket_of(tmp_path, **environ))
    checksum = hashlib.sha256(b"content").digest()
    assert await storage.redirect(checksum) is None
    storage.redirects = True
    signed = urlsplit(await storage.redirect(checksum) or "")
    await storage.close()
    before, after = address.split("{key}")
    seen = f"{signed.scheme}://{signed.netloc}{signed.path}"
    assert seen.startswith(before)
    assert seen.endswith(checksum.hex() + after)
    query = {name.lower(): values[0] for name, values in parse_qs(signed.query).items()}
    assert "AKIAEXAMPLE" in query.get("x-amz-credential", query.get("awsaccesskeyid", ""))
    assert "example" not in signed.query.replace("AKIAEXAMPLE", "").replace("s3.example.com", "")


@pytest.mark.parametrize(
    ("encryption", "size"), [("AES256", 1000), ("aws:kms", 1000), ("aws:kms", PART + 1000)]
)
async def test_small_and_large_objects_are_encrypted_as_asked(
    s3_server: str, tmp_path: Path, size: int, encryption: str
) -> None:
    bucket = await buckets.make_bucket(s3_server)
    kms_key = "key-1" if encryption == "aws:kms" else None
    storage = await S3Storage.connect(replace(bucket, encryption=encryption, kms_key=kms_key))
    body = os.urandom(size)
    checksum = await put(storage, Spool(tmp_path / "spool"), body)
    head = await storage._head(checksum)
    assert head is not None
    assert head["ServerSideEncryption"] == encryption
    if kms_key is not None:
        assert head["SSEKMSKeyId"].endswith(kms_key)
    assert await read(storage, checksum) == body
    await storage.close()


async def test_the_check_at_start_asks_for_nothing_but_an_object(s3_server: str) -> None:
    bucket = await buckets.make_bucket(s3_server)
    async with buckets.faulty(s3_server) as (address, faults):
        storage = await S3Storage.connect(replace(bucket, endpoint=address))
        await storage.check()
        await storage.close()
    assert [method for method, _ in faults.seen] == ["PUT", "GET", "DELETE"]
    (path,) = {path for _, path in faults.seen}
    assert path.startswith(f"/{bucket.name}/check-")
