"""Stored objects as answers: ETag, conditional requests, one byte range, HEAD, flat memory."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp.web import BaseRequest, Response, StreamResponse

from hexhub.errors import NotFound, Unavailable
from hexhub.http import responses, sendfile
from hexhub.storage import Blob, Storage
from hexhub.storage.memory import SmallBlobs

SMALL = 256 * 1024
"""Objects up to this many bytes are answered from memory."""

ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class Streamed(StreamResponse):
    """An answer whose body comes in pieces; the dispatcher has them sent after the head."""

    def __init__(self, status: int, headers: dict[str, str], chunks: AsyncIterator[bytes]) -> None:
        super().__init__(status=status, headers=headers)
        self._chunks = chunks

    async def send(self, request: BaseRequest) -> None:
        """Send the body. Raises TimeoutError for a client that takes nothing for a minute."""
        async for chunk in self._chunks:
            async with asyncio.timeout(sendfile.STALL_S):
                await self.write(chunk)


class StreamedPart(Streamed):
    """A part of a file of this machine: sent by the kernel where it can, else in pieces."""

    def __init__(
        self, status: int, headers: dict[str, str], blob: Blob, path: Path, part: range
    ) -> None:
        super().__init__(status, headers, blob.chunks(part.start, part.stop))
        self._blob = blob
        self.path = path
        self.part = part

    async def send(self, request: BaseRequest) -> None:
        if not sendfile.possible(request):
            await super().send(request)
            return
        start = await sendfile.send(request, self, self.path, self.part.start, self.part.stop)
        if start < self.part.stop:
            self._chunks = self._blob.chunks(start, self.part.stop)
            await super().send(request)


async def answer(
    request: BaseRequest,
    storage: Storage,
    small: SmallBlobs,
    checksum: bytes,
    headers: dict[str, str],
    *,
    elsewhere: bool = False,
) -> StreamResponse:
    """An object, a part of it, or 304. Raises Unavailable for one that is damaged or missing.

    `elsewhere`: everybody may have it, so the client may be sent to where the storage keeps it. One
    that sends credentials never is: it would pass them on.
    """
    etag = f'"{checksum.hex()}"'
    headers = headers | {"ETag": etag, "Accept-Ranges": "bytes"}
    if responses.is_fresh(request, etag):
        return Response(status=304, headers=headers)
    body = small.get(checksum)
    if body is not None:
        return _from_memory(request, body, etag, headers)
    if elsewhere and "Authorization" not in request.headers:
        address = await storage.redirect(checksum)
        if address is not None:
            found = {"Location": address, "Cache-Control": "no-store"}
            return Response(status=302, headers=found)
    try:
        blob = await storage.open(checksum)
    except NotFound:  # the tables say that it exists: 404 would be a lie
        raise Unavailable("this object is missing from the storage of this node") from None
    if blob.size <= SMALL:
        body = await blob.read()
        small.put(checksum, body)
        return _from_memory(request, body, etag, headers)
    return _from_disk(request, blob, etag, headers)


def _from_memory(
    request: BaseRequest, body: bytes, etag: str, headers: dict[str, str]
) -> StreamResponse:
    part = _part(request, etag, len(body))
    if part is None:
        return Response(body=body, headers=headers)
    if not part:
        return _unsatisfiable(len(body), headers)
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{len(body)}"
    return Response(status=206, body=body[part.start : part.stop], headers=headers)


def _from_disk(
    request: BaseRequest, blob: Blob, etag: str, headers: dict[str, str]
) -> StreamResponse:
    part = _part(request, etag, blob.size)
    if part is not None and not part:
        return _unsatisfiable(blob.size, headers)
    status = 200 if part is None else 206
    if part is not None:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{blob.size}"
    part = part if part is not None else range(blob.size)
    headers["Content-Length"] = str(len(part))
    if blob.path is None:
        return Streamed(status, headers, blob.chunks(part.start, part.stop))
    return StreamedPart(status, headers, blob, blob.path, part)


def _unsatisfiable(size: int, headers: dict[str, str]) -> Response:
    return Response(status=416, headers=headers | {"Content-Range": f"bytes */{size}"})


def _part(request: BaseRequest, etag: str, size: int) -> range | None:
    """The bytes asked for; None for all, empty for none that exist (RFC 9110 §14).

    More than one range, or one for another version (`If-Range`), gets everything.
    """
    match = ONE_RANGE.fullmatch(request.headers.get("Range", "").strip())
    if match is None or match[1] == match[2] == "":
        return None
    if request.headers.get("If-Range", etag) != etag:
        return None
    if match[1] == "":
        return range(max(0, size - int(match[2])), size) if int(match[2]) else range(0)
    start = int(match[1])
    if match[2] and int(match[2]) < start:
        return None
    return range(start, min(int(match[2]) + 1, size) if match[2] else size)
