"""With the hot path, without it and with readers the same bytes go over the wire, however asked."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp.web import ServerRunner, TCPSite
from hypothesis import given, settings, strategies as st

from hexhub import app, config
from hexhub.http.metrics import Metrics
from tests.end_to_end.packages import tarball
from tests.hexhub import hubs
from tests.hexhub.hubs import Person, TestHub

LAST = b"GET /health/live HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n"
NO_HTTP = re.compile(rb"HTTP/1\.0 400 .*", re.DOTALL)
"""The last answer to what is no HTTP: it quotes the bytes that had come by then."""
CHANGING = re.compile(rb"(X-Request-Id: [0-9a-f]{32}|Date: [^\r]+)\r\n")


@dataclass
class Faces:
    """One hub with three faces: with readers, with the hot path only, and without."""

    hub: TestHub
    mara: Person
    stranger: Person
    ports: tuple[int, int, int]

    async def ask(
        self, port: int, data: bytes, cuts: tuple[int, ...], last: bytes
    ) -> tuple[bytes, bool]:
        """Send bytes in pieces, then a last request that closes; all that comes, and whether it
        ended in order."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        receiving = asyncio.create_task(received(reader))
        with suppress(ConnectionError):
            for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
                writer.write(data[start:end])
                await writer.drain()
                await asyncio.sleep(0.002)
            writer.write(last)
        answer, in_order = await asyncio.wait_for(receiving, 10)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        if not in_order:
            answer = answer[: answer.rfind(b"\r\n") + 2]  # what is left of a line is no line
        return NO_HTTP.sub(b"HTTP/1.0 400", CHANGING.sub(b"", answer)), in_order

    async def all(self, data: bytes, cuts: tuple[int, ...] = (), last: bytes = LAST) -> bytes:
        """What every face answers, which is the same."""
        asking = (self.ask(port, data, cuts, last) for port in self.ports)
        answers = await asyncio.gather(*asking)
        longest = max((answer for answer, _ in answers), key=len)
        for answer, in_order in answers:
            # A reset may overtake what was sent before it.
            assert answer == longest if in_order else longest.startswith(answer)
        return longest


async def received(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    """All that comes until the end, and whether that was no reset."""
    found = b""
    try:
        while piece := await reader.read(65_536):
            found += piece
    except ConnectionError:
        return found, False
    return found, True


@asynccontextmanager
async def three_faces(folder: Path) -> AsyncIterator[Faces]:
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(hubs.running(folder, face="readers"))
        mara, stranger = await hub.user("mara"), await hub.user("nils")
        await hub.organization("acme", mara)
        for version in ("1.0.0", "1.1.0"):
            await mara.publish(tarball("acorn", version, {"a": b"x" * 500}))
        await mara.publish(tarball("larch", "1.0.0", {"a": os.urandom(100_000)}))
        await mara.publish(tarball("hidden", "1.0.0", {"a": b"x"}), repository="acme")
        ports = [int(hub.url.rpartition(":")[2])]
        for hot in (True, False):
            log, loaded = hubs.quiet_log(hub.faults), config.load({}, checkout=folder)
            server = app.public_face(loaded, hub.hub, Metrics(), log, hot=hot)
            runner = ServerRunner(server)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await TCPSite(runner, "127.0.0.1", 0).start()
            ports.append(runner.addresses[0][1])
        yield Faces(hub, mara, stranger, (ports[0], ports[1], ports[2]))
        assert not hub.faults, hub.faults[0]


@pytest.fixture
async def faces(tmp_path: Path) -> AsyncIterator[Faces]:
    async with three_faces(tmp_path) as made:
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
        "/tarballs/larch-1.0.0.tar",
        "//packages/acorn",
        "/packages/acorn/",
        "/packages/acorn?x=1",
        "/public_key",
        "/packages/%61corn",
        "/repo/versions",
        "/repos/acme/packages/hidden",
        "/repos/acme/names",
        "/repos/acme/tarballs/hidden-1.0.0.tar",
        "/api/packages/acorn",
        "/api/packages/acorn?_format=erlang",
        "/api/packages",
        "/api/packages?search=acorn",
    ]
)
HEADERS = st.sampled_from(
    [
        "Accept: */*",
        "Accept: application/json",
        "Accept: application/vnd.hex+erlang",
        "Accept: text/plain",
        "accept:application/json",
        "User-Agent: x",
        "User-Agent: x",
        "User-Agent:",
        "If-None-Match: ",
        "If-None-Match: *",
        'If-None-Match: "no"',
        "If-Modified-Since: Wed, 25 Nov 2099 18:00:00 GMT",
        "Range: bytes=0-3",
        "Connection: keep-alive",
        "Content-Length: 0",
        "TE: ",
        "Authorization: nonsense",
        "Authorization: MEMBER",
        "Authorization: MEMBER",
        "Authorization: Bearer MEMBER",
        "Authorization: STRANGER",
        "Authorization:",
        "X-Odd: 1",
        "X-Forwarded-For: 10.0.0.1",
        "X-Forwarded-Proto: https",
        "Origin: http://else.where",
        "Accept-Encoding: gzip",
        "X-Request-Id: 0123456789012345678901234567890",
        "X-Request-Id: short",
        "Cookie: a=b",
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from(["GET", "GET", "GET", "HEAD", "POST"]))
    return head(method, draw(PATHS), *draw(st.lists(HEADERS, max_size=4)))


@st.composite
def no_requests(draw: st.DrawFn) -> bytes:
    """Bytes that are no HTTP. Alone: what aiohttp makes of others beside them is a matter of time."""
    method, wrong = draw(
        st.sampled_from([("get", "A: b"), ("GET", "Bad header"), ("GET", " a: b")])
    )
    return head(method, draw(PATHS), *draw(st.lists(HEADERS, max_size=2)), wrong)


@dataclass
class Loop:
    """A loop that a property test may use again and again."""

    faces: Faces
    runner: asyncio.Runner

    def all(self, data: bytes, cuts: tuple[int, ...] = (), last: bytes = LAST) -> None:
        for word, person in (("MEMBER", self.faces.mara), ("STRANGER", self.faces.stranger)):
            data = data.replace(word.encode(), (person.authorization or "").encode())
        cuts = tuple(cut for cut in cuts if cut < len(data))
        self.runner.run(self.faces.all(data, cuts, last))


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    with asyncio.Runner() as runner:
        three = three_faces(tmp_path_factory.mktemp("faces"))
        yield Loop(runner.run(three.__aenter__()), runner)
        runner.run(three.__aexit__(None, None, None))


def compared(loop: Loop, data: st.DataObject) -> None:
    sent = b"".join(data.draw(st.lists(requests(), min_size=1, max_size=3)))
    cuts = data.draw(st.lists(st.integers(1, len(sent) - 1), max_size=2, unique=True))
    loop.all(sent, tuple(sorted(cuts)))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_same_bytes_with_it_without_it_and_from_readers(
    loop: Loop, data: st.DataObject
) -> None:
    compared(loop, data)


@settings(max_examples=30, deadline=None)
@given(no_requests())
def test_the_same_bytes_to_what_is_no_request(loop: Loop, sent: bytes) -> None:
    loop.all(sent, last=b"")


async def test_a_body_that_nobody_asked_for_gives_the_same(faces: Faces) -> None:
    request = head("GET", "/packages/acorn", "Content-Length: 3")
    for _ in range(3):
        assert (await faces.all(request + b"abc", (len(request),))).startswith(b"HTTP/1.1 200 ")


@pytest.mark.long
@settings(max_examples=3000, deadline=None)
@given(st.data())
def test_the_same_bytes_for_many_more_requests(loop: Loop, data: st.DataObject) -> None:
    compared(loop, data)


@pytest.mark.parametrize(
    "step", [11, pytest.param(1, marks=pytest.mark.long)], ids=["some cuts", "every cut"]
)
async def test_a_known_request_that_is_cut_gives_the_same(faces: Faces, step: int) -> None:
    for path in ("/packages/acorn", "/repos/acme/packages/hidden"):
        request = head("GET", path, "Accept: */*", f"Authorization: {faces.mara.authorization}")
        for _ in range(3):
            await faces.all(request)
        for cut in range(1, len(request), step):
            assert (await faces.all(request, (cut,))).startswith(b"HTTP/1.1 200 ")


async def test_a_known_answer_is_sent_again_and_counted(faces: Faces) -> None:
    for _ in range(3):
        assert (await faces.hub.nobody.get("/tarballs/acorn-1.0.0.tar")).status == 200
    assert (await faces.hub.nobody.request("HEAD", "/tarballs/acorn-1.0.0.tar")).status == 200
    await faces.hub.counted()
    await faces.hub.hub.counters.flush()
    faces.hub.clock.ahead = timedelta(days=1)
    release = (await faces.hub.nobody.get("/api/packages/acorn/releases/1.0.0")).value
    assert release["downloads"] == 3


async def test_a_publish_is_seen_by_the_next_request(faces: Faces) -> None:
    paths = ("/packages/acorn", "/versions", "/names", "/repo/packages/acorn", "/api/packages")
    for path in (*paths, "/repos/acme/names"):
        for _ in range(3):
            await faces.all(head("GET", path, "User-Agent: x"))
    await faces.mara.publish(tarball("acorn", "1.2.0", {"a": b"y"}))
    await faces.mara.publish(tarball("beech", "1.0.0", {"a": b"y"}))
    for path in paths:
        before = await faces.all(head("GET", path, "User-Agent: x"))
        assert before.startswith(b"HTTP/1.1 200 ")


async def test_a_replaced_tarball_is_never_sent_again(faces: Faces) -> None:
    path = "/tarballs/acorn-1.0.0.tar"
    first = (await faces.hub.nobody.get(path)).body
    assert (await faces.hub.nobody.get(path)).body == first
    second = tarball("acorn", "1.0.0", {"a": b"z" * 500})
    assert (await faces.mara.publish(second, replace=True)).status == 200
    assert (await faces.hub.nobody.get(path)).body == second


async def test_a_conditional_request_is_answered_304_again_and_again(faces: Faces) -> None:
    etag = (await faces.hub.nobody.get("/packages/acorn")).headers["ETag"]
    request = head("GET", "/packages/acorn", f"If-None-Match: {etag}")
    for _ in range(3):
        assert (await faces.all(request)).startswith(b"HTTP/1.1 304 ")


async def test_a_request_hidden_in_a_header_is_none(faces: Faces) -> None:
    await faces.all(head("GET", "/packages/acorn"))
    start = b"GET /names HTTP/1.1\r\nHost: hub\r\nX-Odd: "
    await faces.all(start + head("GET", "/packages/acorn"), (len(start),))
