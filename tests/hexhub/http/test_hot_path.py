"""With the hot path and without it the same bytes go over the wire, whatever is asked and however."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp.web import ServerRunner, TCPSite
from hypothesis import HealthCheck, given, settings, strategies as st

from hexhub import app, config
from hexhub.http.metrics import Metrics
from tests.end_to_end.packages import tarball
from tests.hexhub import hubs
from tests.hexhub.hubs import Person, TestHub

LAST = b"GET /health/live HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n"
CHANGING = re.compile(rb"(X-Request-Id: [0-9a-f]{32}|Date: [^\r]+)\r\n")


@dataclass
class Pair:
    """One hub with two faces: with the hot path, and without."""

    hub: TestHub
    mara: Person
    cold_port: int
    cold_metrics: Metrics

    @property
    def hot_port(self) -> int:
        return int(self.hub.url.rpartition(":")[2])

    async def ask(self, port: int, data: bytes, cuts: tuple[int, ...] = ()) -> bytes:
        """Send bytes in pieces, then a last request that closes, and read all that comes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = b""
        # Bytes that are no HTTP end the connection, perhaps while we still write.
        with suppress(ConnectionError):
            for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
                writer.write(data[start:end])
                await writer.drain()
                await asyncio.sleep(0.002)
            writer.write(LAST)
            while piece := await asyncio.wait_for(reader.read(65_536), 10):
                answer += piece
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        return CHANGING.sub(b"", answer)

    async def both(self, data: bytes, cuts: tuple[int, ...] = ()) -> tuple[bytes, bytes]:
        return await self.ask(self.hot_port, data, cuts), await self.ask(self.cold_port, data, cuts)


@asynccontextmanager
async def two_faces(folder: Path) -> AsyncIterator[Pair]:
    async with hubs.running(folder) as hub:
        mara = await hub.user("mara")
        for version in ("1.0.0", "1.1.0"):
            await mara.publish(tarball("acorn", version, {"a": b"x" * 500}))
        metrics = Metrics()
        loaded = config.load({}, checkout=folder)
        face = app.public_face(loaded, hub.hub, metrics, hubs.quiet_log(hub.faults), hot=False)
        runner = ServerRunner(face)
        await runner.setup()
        await TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield Pair(hub, mara, runner.addresses[0][1], metrics)
        finally:
            await runner.cleanup()


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with two_faces(tmp_path) as made:
        yield made


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: hub", *lines, "", ""]).encode()


PATHS = st.sampled_from(
    [
        "/packages/acorn",
        "/names",
        "/versions",
        "/repo/packages/acorn",
        "/packages/none",
        "/tarballs/acorn-1.0.0.tar",
        "//packages/acorn",
        "/packages/acorn/",
        "/packages/acorn?x=1",
        "/public_key",
        "/packages/%61corn",
        "/repo/versions",
    ]
)
HEADERS = st.sampled_from(
    [
        "Accept: */*",
        "Accept: application/json",
        "Accept: application/vnd.hex+erlang",
        "accept:application/json",
        "User-Agent: x",
        "User-Agent:",
        "If-None-Match: ",
        "If-None-Match: *",
        'If-None-Match: "no"',
        "Range: bytes=0-3",
        "Connection: keep-alive",
        "Content-Length: 0",
        "Content-Length: 3",
        "TE: ",
        "Authorization: nonsense",
        "X-Odd: 1",
        "Accept-Encoding: gzip",
        "Bad header",
        "X-Request-Id: 0123456789012345678901234567890",
        " folded: x",
        "Cookie: a=b",
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "get"]))
    return head(method, draw(PATHS), *draw(st.lists(HEADERS, max_size=4)))


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_the_same_bytes_with_it_and_without_it(pair_loop: Loop, data: st.DataObject) -> None:
    sent = b"".join(data.draw(st.lists(requests(), min_size=1, max_size=3)))
    cuts = data.draw(st.lists(st.integers(1, len(sent) - 1), max_size=2, unique=True))
    hot, cold = pair_loop.both(sent, tuple(sorted(cuts)))
    assert hot == cold


@dataclass
class Loop:
    """A loop that a property test may use again and again."""

    pair: Pair
    runner: asyncio.Runner

    def both(self, data: bytes, cuts: tuple[int, ...]) -> tuple[bytes, bytes]:
        return self.runner.run(self.pair.both(data, cuts))


@pytest.fixture
def pair_loop(tmp_path: Path) -> Iterator[Loop]:
    with asyncio.Runner() as runner:
        faces = two_faces(tmp_path)
        yield Loop(runner.run(faces.__aenter__()), runner)
        runner.run(faces.__aexit__(None, None, None))


async def test_every_cut_of_a_known_request_gives_the_same(pair: Pair) -> None:
    request = head("GET", "/packages/acorn", "Accept: */*")
    await pair.both(request)
    for cut in range(1, len(request), 7):
        hot, cold = await pair.both(request, (cut,))
        assert hot == cold


async def test_a_known_answer_is_sent_again_and_counted(pair: Pair) -> None:
    for _ in range(3):
        assert (await pair.hub.nobody.get("/tarballs/acorn-1.0.0.tar")).status == 200
    assert (await pair.hub.nobody.request("HEAD", "/tarballs/acorn-1.0.0.tar")).status == 200
    await pair.hub.hub.counters.flush()
    pair.hub.clock.ahead = timedelta(days=1)
    release = (await pair.hub.nobody.get("/api/packages/acorn/releases/1.0.0")).value
    assert release["downloads"] == 3


async def test_a_publish_is_seen_by_the_next_request(pair: Pair) -> None:
    for path in ("/packages/acorn", "/versions", "/names", "/repo/packages/acorn"):
        before = (await pair.hub.nobody.get(path)).body
        assert (await pair.hub.nobody.get(path)).body == before
    await pair.mara.publish(tarball("acorn", "1.2.0", {"a": b"y"}))
    await pair.mara.publish(tarball("beech", "1.0.0", {"a": b"y"}))
    for path in ("/packages/acorn", "/versions", "/names", "/repo/packages/acorn"):
        hot, cold = await pair.both(head("GET", path))
        assert hot == cold


async def test_a_replaced_tarball_is_never_sent_again(pair: Pair) -> None:
    path = "/tarballs/acorn-1.0.0.tar"
    first = (await pair.hub.nobody.get(path)).body
    assert (await pair.hub.nobody.get(path)).body == first
    second = tarball("acorn", "1.0.0", {"a": b"z" * 500})
    assert (await pair.mara.publish(second, replace=True)).status == 200
    assert (await pair.hub.nobody.get(path)).body == second


async def test_a_conditional_request_is_answered_304_again_and_again(pair: Pair) -> None:
    etag = (await pair.hub.nobody.get("/packages/acorn")).headers["ETag"]
    request = head("GET", "/packages/acorn", f"If-None-Match: {etag}")
    for _ in range(3):
        hot, cold = await pair.both(request)
        assert hot == cold
        assert hot.startswith(b"HTTP/1.1 304 ")


async def test_a_request_hidden_in_a_header_is_none(pair: Pair) -> None:
    await pair.both(head("GET", "/packages/acorn"))
    start = b"GET /names HTTP/1.1\r\nHost: hub\r\nX-Odd: "
    rest = head("GET", "/packages/acorn")
    hot, cold = await pair.both(start + rest, (len(start),))
    assert hot == cold
