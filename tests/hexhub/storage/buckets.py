"""A bucket for tests: a real S3 server in a thread, and a proxy before it that fails as told.

With TEST_S3_SERVER another server is used, such as MinIO at http://127.0.0.1:9000; TEST_S3_KEY and
TEST_S3_SECRET are its credentials.
"""

from __future__ import annotations

import asyncio
import io
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from aiohttp import ClientSession, ClientTimeout
from aiohttp.web import BaseRequest, Response, Server, ServerRunner, StreamResponse, TCPSite
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from hexhub.storage.s3 import Bucket, S3Storage

CODES = {403: "AccessDenied", 500: "InternalError", 503: "SlowDown"}
KEYS = {
    "access_key_id": os.environ.get("TEST_S3_KEY", "AKIAEXAMPLE"),
    "secret_access_key": os.environ.get("TEST_S3_SECRET", "example"),
}


@contextmanager
def server() -> Iterator[str]:
    """The address of an S3 server that is empty and forgets everything, unless one is named."""
    if named := os.environ.get("TEST_S3_SERVER"):
        yield named
        return
    running = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        running.stop()


async def make_bucket(server: str, **more: str) -> Bucket:
    """A new bucket of that server."""
    name = f"hub-{uuid.uuid4().hex[:12]}"
    bucket = Bucket(name=name, endpoint=server, path_style=True, **KEYS, **more)
    storage = await S3Storage.connect(bucket)
    await storage._client.create_bucket(Bucket=name)
    await storage.close()
    return bucket


@dataclass
class Faults:
    """What the proxy does to the next requests. `seen` are method and path of all."""

    statuses: list[int] = field(default_factory=list)
    """Answer with these instead of passing on; 0 closes the connection."""
    cut_after: list[int] = field(default_factory=list)
    """Break answers with a body off after so many bytes."""
    flip: bool = False
    """Change a byte of each body of an object."""
    down: bool = False
    latency_s: float = 0.0
    seen: list[tuple[str, str]] = field(default_factory=list)


@asynccontextmanager
async def faulty(upstream: str) -> AsyncIterator[tuple[str, Faults]]:
    """A proxy before a server, and its faults."""
    faults = Faults()
    async with ClientSession(auto_decompress=False, timeout=ClientTimeout(total=30)) as session:

        async def answer(request: BaseRequest) -> StreamResponse:
            faults.seen.append((request.method, request.path))
            await asyncio.sleep(faults.latency_s)
            if faults.down or (faults.statuses and faults.statuses[0] == 0):
                if not faults.down:
                    faults.statuses.pop(0)
                assert request.transport is not None
                request.transport.abort()
                return Response()
            if request.headers.get("Expect", "").lower() == "100-continue":
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0
            if faults.statuses:
                await request.content.read()
                status = faults.statuses.pop(0)
                body = f"<Error><Code>{CODES[status]}</Code></Error>".encode()
                return Response(status=status, body=body, content_type="application/xml")
            return await _passed(request, session, upstream, faults)

        runner = ServerRunner(Server(answer))
        await runner.setup()
        await TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        try:
            yield f"http://127.0.0.1:{port}", faults
        finally:
            await runner.cleanup()


async def _passed(
    request: BaseRequest, session: ClientSession, upstream: str, faults: Faults
) -> StreamResponse:
    # The host stays the proxy's: it is signed.
    headers = {k: v for k, v in request.headers.items() if k.lower() != "expect"}
    body = await request.content.read()
    async with session.request(
        request.method,
        upstream + request.raw_path,
        headers=headers,
        data=io.BytesIO(body) if body else None,
    ) as found:
        data = await found.read()
        kept = {
            k: v
            for k, v in found.headers.items()
            if k.lower() not in ("transfer-encoding", "connection", "date", "server")
        }
        if faults.flip and request.method == "GET" and data and "list-type" not in request.raw_path:
            data = bytes([data[0] ^ 1]) + data[1:]
        response = StreamResponse(status=found.status, headers=kept)
        await response.prepare(request)
        if request.method == "GET" and faults.cut_after:
            await response.write(data[: faults.cut_after.pop(0)])
            assert request.transport is not None
            request.transport.abort()
            return response
        if request.method != "HEAD":
            await response.write(data)
        await response.write_eof()
        return response
