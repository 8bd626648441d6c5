"""What stands between a hub and its upstream in tests, and does what networks do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import ClientSession
from aiohttp.web import BaseRequest, Response, Server, ServerRunner, StreamResponse, TCPSite

LOGIN_PAGE = b"<html><body>Please sign in to use this network.</body></html>"


@dataclass
class Faults:
    """How the upstream is reached. A fault that names no path concerns all."""

    target: str
    url: str = ""
    latency_s: float = 0.0
    fault: str | None = None
    """`reset`, `truncate`, `wrong`, `html`, `not_modified`, `hang`, or a status such as `503`."""
    only: str = ""
    """The part of a path that the fault concerns."""
    times: int = -1
    """How often the fault happens; -1 for ever."""
    retry_after: str | None = None
    replayed: dict[str, bytes] = field(default_factory=dict)
    """Bodies that are answered instead of the upstream's, by path."""
    requests: Counter[str] = field(default_factory=Counter)
    statuses: list[tuple[str, int]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Answers wait for it; set unless a test holds them back."""

    def hold(self) -> None:
        self.gate.clear()

    @property
    def total(self) -> int:
        return self.requests.total()


@asynccontextmanager
async def between(target: str) -> AsyncIterator[Faults]:
    """A proxy to `target` that does what its faults say."""
    faults = Faults(target)
    faults.gate.set()
    async with ClientSession(auto_decompress=False) as session:

        async def handle(request: BaseRequest) -> StreamResponse:
            response = await _answer(request, faults, session)
            faults.statuses.append((request.path, response.status))
            return response

        runner = ServerRunner(Server(handle), shutdown_timeout=0.1)
        await runner.setup()
        await TCPSite(runner, "127.0.0.1", 0).start()
        faults.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield faults
        finally:
            faults.gate.set()
            await runner.cleanup()


async def _answer(request: BaseRequest, faults: Faults, session: ClientSession) -> StreamResponse:
    faults.requests[request.path] += 1
    faults.headers.append(dict(request.headers))
    await faults.gate.wait()
    if faults.latency_s:
        await asyncio.sleep(faults.latency_s)
    fault = faults.fault if faults.only in request.path and faults.times else None
    if fault:
        faults.times -= 1
        early = await _early(request, fault, faults)
        if early is not None:
            return early
    if request.path in faults.replayed:
        return Response(body=faults.replayed[request.path])
    headers = {
        name: value
        for name, value in request.headers.items()
        if name in ("If-None-Match", "Accept", "User-Agent")
    }
    async with session.get(
        faults.target + request.raw_path, headers=headers, allow_redirects=False
    ) as response:
        body = await response.read()
        passed = {
            name: value
            for name, value in response.headers.items()
            if name.lower() in ("etag", "content-type", "location")
        }
        status = response.status
    if fault == "truncate":
        return await _truncated(request, body, passed)
    if fault == "wrong":
        body = body[:-9] + bytes([body[-9] ^ 1]) + body[-8:]
    return Response(status=status, body=body, headers=passed)


async def _early(request: BaseRequest, fault: str, faults: Faults) -> StreamResponse | None:
    """The answers that do not need the upstream's."""
    if fault == "reset":
        assert request.transport is not None
        request.transport.abort()
        return Response(status=500)
    if fault == "hang":
        await asyncio.sleep(3600)
    if fault == "html":
        return Response(body=LOGIN_PAGE, content_type="text/html")
    if fault == "not_modified":
        return Response(status=304)
    if fault.isdigit():
        headers = {"Retry-After": faults.retry_after} if faults.retry_after else {}
        return Response(status=int(fault), text="no", headers=headers)
    return None


async def _truncated(request: BaseRequest, body: bytes, headers: dict[str, str]) -> StreamResponse:
    response = StreamResponse(headers=headers)
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    assert request.transport is not None
    request.transport.close()
    return response
