"""Objects in a bucket: `PREFIX/ab/abcd…` by hex checksum. Memory stays flat, whatever their size.

Uploads carry Content-MD5, so that the server refuses what was changed on the way; downloads are
hashed, and their last bytes are given out only when the whole is right.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from hexhub.errors import NotFound, Refused, Unavailable
from hexhub.storage import Spooled
from hexhub.storage.local import OBJECT_NAME, Damaged

T = TypeVar("T")

CHUNK = 1 << 20
PART = 8 << 20
"""Bytes of one upload; larger objects go in parts of this size."""
UPLOADS = 4
"""Uploads at one time; with PART it bounds their memory."""
READ_TRIES = 4
LOOK_AGAIN_S, LOOK_S = 3.0, 2.0
RETRY_S = 0.2
TRIES = 5
CONNECT_S, READ_S = 3.0, 20.0
YOUNG = timedelta(hours=1)
"""An object at least this old is put again, so that no sweep takes it before it is pointed to."""
URL_GOOD_FOR_S = 300
DELETE_AT_ONCE = 500
MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
HOPELESS = {
    "403": "the credentials do not allow it",
    "AccessDenied": "the credentials do not allow it",
    "InvalidAccessKeyId": "AWS_ACCESS_KEY_ID is not known there",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY is wrong",
    "NoSuchBucket": "there is no such bucket",
    "404": "there is no such bucket",
    "PermanentRedirect": "the bucket is in another region: set AWS_REGION",
    "301": "the bucket is in another region: set AWS_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set AWS_REGION",
}


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Where the objects are. Without credentials those of the machine are used."""

    name: str
    prefix: str = ""
    region: str = "us-east-1"
    endpoint: str | None = None
    path_style: bool = False
    access_key_id: str | None = None
    secret_access_key: str | None = None
    encryption: str = "none"
    kms_key: str | None = None


class S3Blob:
    """An object that was there a moment ago."""

    path: Path | None = None

    def __init__(self, storage: S3Storage, checksum: bytes, size: int) -> None:
        self.size = size
        self._storage = storage
        self._checksum = checksum

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks(0, self.size)])

    async def chunks(self, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`. Raises Damaged before the end of a wrong object."""
        whole = (start, end) == (0, self.size)
        digest, held = hashlib.sha256(), b""
        async for chunk in self._storage.pieces(self._checksum, start, end):
            if whole:
                digest.update(chunk)
                if held:
                    yield held
                held = chunk
            else:
                yield chunk
        if not whole:
            return
        if digest.digest() != self._checksum:
            self._storage.found_damaged(self._checksum)
            raise Damaged(f"{self._checksum.hex()} does not have its checksum any more")
        if held:
            yield held


class S3Storage:
    """A bucket. Make it with `await S3Storage.connect(bucket)`, close it at the end."""

    def __init__(self, bucket: Bucket, client: Any, stack: AsyncExitStack) -> None:
        self._bucket = bucket
        self._client = client
        self._stack = stack
        self._damaged: set[bytes] = set()
        self.repaired = 0
        self._uploads = asyncio.Semaphore(UPLOADS)
        self.bucket_name = bucket.name
        self.may_sweep: Callable[[int], bool] = lambda applied: True
        """Whether no member can still point to what was pointed to before that log index."""
        self.redirects = False
        """Whether `redirect` gives addresses."""
        self.behind = 0
        self._looked_at = float("-inf")
        self.last_error: str | None = None
        """What the last request failed with; None after one that did not."""

    @classmethod
    async def connect(cls, bucket: Bucket) -> S3Storage:
        """A client of the bucket; nothing is asked yet."""
        # Imported here: only nodes with a bucket pay for it.
        from aiobotocore.config import AioConfig

        settings = AioConfig(
            connect_timeout=CONNECT_S,
            read_timeout=READ_S,
            max_pool_connections=32,
            retries={"mode": "standard", "total_max_attempts": TRIES},
            s3={"addressing_style": "path" if bucket.path_style else "virtual"},
            # Not every server knows the newer checksums; Content-MD5 is known to all.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        stack = AsyncExitStack()
        client = await stack.enter_async_context(
            _session().create_client(
                "s3",
                region_name=bucket.region,
                endpoint_url=bucket.endpoint,
                aws_access_key_id=bucket.access_key_id,
                aws_secret_access_key=bucket.secret_access_key,
                config=settings,
            )
        )
        return cls(bucket, client, stack)

    async def check(self) -> None:
        """Put, read and delete a small object: what a node needs, and no right beyond.

        Raises Refused when that can never work, Unavailable when the server does not answer.
        """
        key = self._key_of(f"check-{hashlib.sha256(str(id(self)).encode()).hexdigest()[:12]}")
        where = f"bucket {self._bucket.name}" + (
            f" at {self._bucket.endpoint}" if self._bucket.endpoint else ""
        )
        step = "write to"
        try:
            await self._client.put_object(**self._named(key), Body=b"hexhub", **self._encryption())
            step = "read from"
            await (await self._client.get_object(**self._named(key)))["Body"].read()
            step = "delete from"
            await self._client.delete_object(**self._named(key))
        except Exception as error:
            code = _code(error)
            if code in HOPELESS:
                raise Refused(f"cannot {step} {where}: {HOPELESS[code]} ({code})") from None
            if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
                raise Refused(
                    f"cannot {step} {where}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                ) from None
            raise self._error(error) from error

    @property
    def damaged(self) -> int:
        return len(self._damaged)

    def found_damaged(self, checksum: bytes) -> None:
        """Count an object whose bytes are not those of its name."""
        self._damaged.add(checksum)

    # writing

    async def put(self, spooled: Spooled) -> None:
        """Upload a file, which stays where it is; the spool deletes it."""
        head = await self._head(spooled.checksum)
        if (
            head is not None
            and head["ContentLength"] == spooled.size
            and datetime.now(UTC) - head["LastModified"] < YOUNG  # noqa: TID251 - S3's clock
            and spooled.checksum not in self._damaged
        ):
            return
        async with self._uploads:
            if spooled.size <= PART:
                await self._put_whole(spooled)
            else:
                await self._put_parts(spooled)
        head = await self._head(spooled.checksum)
        if head is None or head["ContentLength"] != spooled.size:
            raise Unavailable("the bucket does not hold what was put into it")
        if spooled.checksum in self._damaged:
            self._damaged.discard(spooled.checksum)
            self.repaired += 1

    async def keep(self, spooled: Spooled) -> None:
        await self.put(spooled)

    async def _put_whole(self, spooled: Spooled) -> None:
        body = await asyncio.to_thread(spooled.read)
        await self._do(
            lambda: self._client.put_object(
                **self._named(self._key(spooled.checksum)),
                Body=body,
                ContentMD5=_md5(body),
                ContentType="application/octet-stream",
                **self._encryption(),
            )
        )

    async def _put_parts(self, spooled: Spooled) -> None:
        named = self._named(self._key(spooled.checksum))
        begun = await self._do(
            lambda: self._client.create_multipart_upload(
                **named, ContentType="application/octet-stream", **self._encryption()
            )
        )
        upload = {**named, "UploadId": begun["UploadId"]}
        try:
            parts = []
            for number, start in enumerate(range(0, spooled.size, PART), start=1):
                body = await asyncio.to_thread(_slice, spooled.path, start, PART)
                done = await self._do(self._part(upload, number, body))
                parts.append({"ETag": done["ETag"], "PartNumber": number})
            await self._do(
                lambda: self._client.complete_multipart_upload(
                    **upload, MultipartUpload={"Parts": parts}
                )
            )
        except BaseException:
            # Parts that are never completed cost money; what cannot be aborted now, a lifecycle
            # rule of the bucket ends.
            await asyncio.shield(self._abort(upload))
            raise

    def _part(
        self, upload: dict[str, Any], number: int, body: bytes
    ) -> Callable[[], Awaitable[Any]]:
        return lambda: self._client.upload_part(
            **upload, PartNumber=number, Body=body, ContentMD5=_md5(body)
        )

    async def _abort(self, upload: dict[str, Any]) -> None:
        try:
            await self._client.abort_multipart_upload(**upload)
        except Exception as error:
            self.last_error = str(error)

    # reading

    async def open(self, checksum: bytes) -> S3Blob:
        head = await self._head(checksum)
        if head is None:
            raise NotFound
        return S3Blob(self, checksum, head["ContentLength"])

    async def pieces(self, checksum: bytes, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes of a range, taken up again where a connection broke. Raises Unavailable."""
        failed = 0
        while start < end:
            try:
                found = await self._client.get_object(
                    **self._named(self._key(checksum)), Range=f"bytes={start}-{end - 1}"
                )
                async with found["Body"] as body:
                    async for chunk in body.iter_chunks(CHUNK):
                        if len(chunk) > end - start:
                            raise Damaged(f"{checksum.hex()} is longer than was said")
                        start += len(chunk)
                        yield chunk
                if start < end:
                    raise ConnectionError("the answer ended early")
            except (NotFound, Damaged, GeneratorExit, asyncio.CancelledError):
                raise
            except Exception as error:
                if _code(error) in MISSING:
                    raise NotFound from None
                failed += 1
                if failed >= READ_TRIES or _code(error) in HOPELESS:
                    raise self._error(error) from error
                await asyncio.sleep(RETRY_S * 2**failed)
        self.last_error = None

    async def redirect(self, checksum: bytes) -> str | None:
        """An address at which anybody can fetch this object for five minutes; None without them."""
        if not self.redirects:
            return None
        url: str = await self._client.generate_presigned_url(
            "get_object",
            Params=self._named(self._key(checksum)),
            ExpiresIn=URL_GOOD_FOR_S,
        )
        return url

    async def missing(self, checksums: Iterable[bytes]) -> list[bytes]:
        """Which of these objects are not in the bucket."""
        return [each for each in checksums if await self._head(each) is None]

    async def names(self) -> AsyncIterator[tuple[bytes, int, datetime]]:
        """Checksum, size and time of every object."""
        start: dict[str, str] = {}
        while True:
            page = await self._do(
                lambda start=start: self._client.list_objects_v2(  # type: ignore[misc]
                    Bucket=self._bucket.name, Prefix=self._prefix, **start
                )
            )
            for item in page.get("Contents", ()):
                name = item["Key"].rpartition("/")[2]
                if OBJECT_NAME.fullmatch(name) and item["Key"] == self._key_of_name(name):
                    yield bytes.fromhex(name), item["Size"], item["LastModified"]
            if not page.get("IsTruncated"):
                return
            start = {"ContinuationToken": page["NextContinuationToken"]}

    async def sweep(self, keep: Iterable[bytes], *, older_than_s: float, applied: int = 0) -> int:
        if not self.may_sweep(applied):
            return 0
        kept = set(keep)
        oldest = datetime.now(UTC) - timedelta(seconds=older_than_s)  # noqa: TID251 - S3's clock
        stale = [
            checksum
            async for checksum, _, moment in self.names()
            if checksum not in kept and moment < oldest
        ]
        for start in range(0, len(stale), DELETE_AT_ONCE):
            for checksum in stale[start : start + DELETE_AT_ONCE]:
                await self.erase(checksum)
        return len(stale)

    async def erase(self, checksum: bytes) -> None:
        await self._do(lambda: self._client.delete_object(**self._named(self._key(checksum))))
        self._damaged.discard(checksum)

    async def writable(self) -> bool:
        """What the last request told; after one that failed, and now and then, a cheap one more."""
        now = time.monotonic()
        if now - self._looked_at > LOOK_AGAIN_S:
            self._looked_at = now
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._head(bytes(32))
            except TimeoutError:
                self.last_error = "TimeoutError"
            except Unavailable:
                pass
        return self.last_error is None

    async def close(self) -> None:
        await self._stack.aclose()

    # one request

    async def _head(self, checksum: bytes) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = await self._client.head_object(
                **self._named(self._key(checksum))
            )
        except Exception as error:
            if _code(error) in MISSING:
                return None
            raise self._error(error) from error
        self.last_error = None
        return found

    async def _do(self, request: Callable[[], Awaitable[T]]) -> T:
        try:
            result = await request()
        except Exception as error:
            raise self._error(error) from error
        self.last_error = None
        return result

    def _error(self, error: Exception) -> Exception:
        """The error to raise for a failed request; no word of it holds a secret."""
        if isinstance(error, (NotFound, Unavailable, Refused)):
            return error
        self.last_error = _code(error) or type(error).__name__
        return Unavailable(f"the bucket does not answer ({self.last_error})", 5)

    @property
    def _prefix(self) -> str:
        prefix = self._bucket.prefix.strip("/")
        return f"{prefix}/" if prefix else ""

    def _key(self, checksum: bytes) -> str:
        return self._key_of_name(checksum.hex())

    def _key_of_name(self, name: str) -> str:
        return self._key_of(f"{name[:2]}/{name}")

    def _key_of(self, name: str) -> str:
        return self._prefix + name

    def _named(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._bucket.name, "Key": key}

    def _encryption(self) -> dict[str, str]:
        if self._bucket.encryption == "none":
            return {}
        asked = {"ServerSideEncryption": self._bucket.encryption}
        if self._bucket.kms_key and self._bucket.encryption == "aws:kms":
            asked["SSEKMSKeyId"] = self._bucket.kms_key
        return asked


@cache
def _session() -> Any:
    """What has read the description of S3, which takes longer than all the rest of a client."""
    from aiobotocore.session import get_session

    return get_session()


def _code(error: Exception) -> str:
    """The server's code for a failure; empty when it was no answer of the server."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def _slice(path: Path, start: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(size)
