"""Bodies on their way in: limits, `Expect`, encodings, stalls (http-api.md §1.8)."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import pytest
import pytest_asyncio

from hexhub.http import bodies
from tests.hexhub.hubs import ERLANG, Person, TestHub
from tests.hexhub.packages import docs, package
from tests.hexhub.raw import Wire, wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

OCTETS = "application/octet-stream"
NAMED = "/api/packages/acorn/releases"
UNNAMED = "/api/publish"
DOCS = "/api/packages/acorn/releases/1.0.0/docs"
MIB = 1024 * 1024
REBAR3_AGENT = "hex_core/0.12.1 rebar3/3.24.0 (httpc) (OTP/27) (erts/15.0)"


@pytest.fixture(scope="module")
def hub(module_hub: TestHub) -> TestHub:
    """One hub for all tests here."""
    return module_hub


@pytest.fixture(scope="module")
def mara(module_mara: Person) -> Person:
    """A user with a key for the API and all repositories."""
    return module_mara


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def acorn(mara: Person) -> None:
    """A package."""
    assert (await mara.publish(package("acorn"))).status == 201


def _ask(connection: Wire, path: str, caller: Person | None, **headers: str) -> None:
    sent = {"expect": "100-continue", "content_type": OCTETS} | headers
    if caller is not None:
        sent["authorization"] = caller.authorization or ""
    connection.head("POST", path, **sent)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (f"{NAMED}?replace=true", package("acorn"), 200),
        (UNNAMED, package("acorn", "1.1.0"), 201),
        (DOCS, docs(), 201),
    ],
)
async def test_a_client_that_waits_is_told_to_go_on(
    hub: TestHub, mara: Person, path: str, body: bytes, status: int
) -> None:
    async with wire(hub.url) as connection:
        _ask(connection, path, mara, content_length=str(len(body)))
        assert (await connection.answer()).status == 100
        connection.send(body)
        assert (await connection.answer()).status == status


@pytest.mark.parametrize(
    ("path", "who", "status"),
    [
        (NAMED, "nobody", 401),
        (NAMED, "wrong", 401),
        (NAMED, "reader", 401),
        (NAMED, "stranger", 403),
        (NAMED, "unverified", 403),
        (DOCS, "nobody", 403),
        (DOCS, "reader", 401),
        (DOCS, "stranger", 403),
        ("/api/packages/acorn/releases/9.9.9/docs", "mara", 404),
        ("/api/packages/unknown/releases/1.0.0/docs", "mara", 404),
        ("/api/packages/acorn/releases/nine/docs", "mara", 400),
        (UNNAMED, "wrong", 401),
        ("/api/nothing", "mara", 404),
    ],
)
async def test_a_client_that_waits_is_refused_before_it_sends(
    hub: TestHub, mara: Person, path: str, who: str, status: int
) -> None:
    callers = {
        "nobody": None,
        "mara": mara,
        "wrong": Person(hub, None, "0" * 32),
        "reader": await hub.key("mara", "api:read"),
        "stranger": await _person(hub, "otto"),
        "unverified": await _person(hub, "lena", verified=False),
    }
    async with wire(hub.url) as connection:
        _ask(connection, path, callers[who], content_length="1000", accept=ERLANG)
        answer = await connection.answer()
        assert answer.status == status
        assert answer.value["status"] == status
        assert answer.headers["Connection"] == "close"
        assert await connection.closed()


async def _person(hub: TestHub, name: str, *, verified: bool = True) -> Person:
    if (await hub.nobody.get(f"/api/users/{name}")).status == 404:
        return await hub.user(name, verified=verified)
    return await hub.key(name, "api")


async def test_without_a_length_a_client_that_waits_gets_411(hub: TestHub, mara: Person) -> None:
    async with wire(hub.url) as connection:
        _ask(connection, NAMED, mara, transfer_encoding="chunked")
        answer = await connection.answer()
        assert (answer.status, answer.value) == (411, {"status": 411, "message": None})
        assert await connection.closed()


async def test_an_announced_length_above_16_mib_is_refused_unread(
    hub: TestHub, mara: Person
) -> None:
    async with wire(hub.url) as connection:
        _ask(connection, NAMED, mara, content_length=str(16 * MIB + 1))
        answer = await connection.answer()
        assert (answer.status, answer.errors) == (422, {"tar": "too big"})
        assert await connection.closed()


@pytest.mark.parametrize("value", ["100-Continue", "something"])
async def test_only_the_exact_value_is_waited_for(hub: TestHub, mara: Person, value: str) -> None:
    body = package("acorn")
    async with wire(hub.url) as connection:
        _ask(connection, f"{NAMED}?replace=true", mara, content_length=str(len(body)), expect=value)
        connection.send(body)
        assert (await connection.answer()).status == 200


async def test_nothing_is_said_before_the_body_to_a_client_that_does_not_wait(
    hub: TestHub, mara: Person
) -> None:
    body = package("acorn")
    async with wire(hub.url) as connection:
        connection.head(
            "POST",
            f"{NAMED}?replace=true",
            authorization=mara.authorization or "",
            content_length=str(len(body)),
        )
        assert await connection.silent()
        connection.send(body)
        assert (await connection.answer()).status == 200


@pytest.mark.parametrize("path", [NAMED, UNNAMED, DOCS])
async def test_more_than_20_mib_is_a_validation_error(mara: Person, path: str) -> None:
    """Not a 413, which rebar3's plugin prints as success (http-api.md §6)."""
    answer = await mara.post(path, data=bytes(20 * MIB + 1))
    assert (answer.status, answer.errors) == (422, {"tar": "too big"})


async def test_a_body_in_chunks_is_bounded_while_it_is_read(hub: TestHub, mara: Person) -> None:
    async with wire(hub.url) as connection:
        connection.head(
            "POST", NAMED, authorization=mara.authorization or "", transfer_encoding="chunked"
        )
        chunk = bytes(MIB)
        for _ in range(21):
            connection.send(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        answer = await connection.answer()
        assert (answer.status, answer.errors) == (422, {"tar": "too big"})


async def test_a_tarball_above_16_mib_is_refused(mara: Person) -> None:
    answer = await mara.post(NAMED, data=bytes(16 * MIB + 1))
    assert answer.status == 422
    assert set(answer.errors) == {"tar"}


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "br", "identity"])
async def test_uploads_are_kept_as_they_came_whatever_their_encoding_header(
    mara: Person, encoding: str
) -> None:
    body = docs(encoding)
    headers = {"Content-Encoding": encoding, "Content-Type": "application/x-tar"}
    answer = await mara.post(DOCS, data=body, headers=headers)
    assert (answer.status, answer.body) == (201, b"")
    assert "Content-Type" not in answer.headers
    assert (await mara.get("/docs/acorn-1.0.0.tar.gz")).body == body
    assert gzip.decompress(body)


@pytest.mark.parametrize(
    "content_type", ["application/x-tar", "text/plain", "application/gzip", ""]
)
async def test_uploads_may_have_any_content_type(mara: Person, content_type: str) -> None:
    answer = await mara.post(
        f"{NAMED}?replace=true", data=package("acorn"), headers={"Content-Type": content_type}
    )
    assert answer.status == 200


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/vnd.hex+erlang", "application/vnd.api+json"]
)
async def test_an_upload_that_calls_itself_parsed_is_400(mara: Person, content_type: str) -> None:
    answer = await mara.post(NAMED, data=package("acorn"), headers={"Content-Type": content_type})
    assert answer.status == 400


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stalls that a test can wait for."""
    monkeypatch.setattr(bodies, "STALL_S", 0.1)


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize(
    ("path", "content_type"), [(NAMED, OCTETS), (DOCS, OCTETS), ("/api/keys", "application/json")]
)
async def test_a_client_that_stops_sending_gets_408(
    hub: TestHub, mara: Person, path: str, content_type: str
) -> None:
    async with wire(hub.url) as connection:
        connection.head(
            "POST",
            path,
            authorization=mara.authorization or "",
            content_type=content_type,
            content_length="1000",
        )
        connection.send(b"{" + bytes(10))
        answer = await connection.answer()
        assert (answer.status, answer.value["message"]) == (408, "Request timeout")
    assert _spooled(hub) == []


async def test_a_body_that_drips_is_cut_off_in_the_end(
    hub: TestHub, mara: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each wait is short enough, the whole is not."""
    monkeypatch.setattr(bodies, "BODY_S", 0.3)
    async with wire(hub.url) as connection:
        connection.head(
            "POST", NAMED, authorization=mara.authorization or "", content_length="1000"
        )
        for _ in range(100):
            connection.send(b"x")
            if not await connection.silent(0.02):
                break
        else:
            pytest.fail("the hub went on reading")
    assert _spooled(hub) == []


def _spooled(hub: TestHub) -> list[Path]:
    return list(hub.folder.glob("data/spool/*"))


@pytest.mark.usefixtures("short_waits")
async def test_rebar3_hears_of_a_stall_as_an_error_that_it_understands(
    hub: TestHub, mara: Person
) -> None:
    async with wire(hub.url) as connection:
        connection.head(
            "POST",
            NAMED,
            authorization=mara.authorization or "",
            content_length="10",
            user_agent=REBAR3_AGENT,
        )
        answer = await connection.answer()
    assert (answer.status, answer.value) == (500, {"status": 408, "message": "Request timeout"})


@pytest.mark.parametrize(
    ("method", "path", "headers", "meant"),
    [
        ("POST", NAMED, {"Accept": "text/html"}, 406),
        ("POST", UNNAMED, {"Accept": "text/html"}, 406),
        ("POST", NAMED, {"Content-Type": "application/json"}, 400),
        ("DELETE", "/api/packages/acorn/releases/nine", {}, 400),
        ("PUT", "/api/packages/acorn/owners/mara", {"Content-Type": "application/json"}, 400),
        ("POST", f"{NAMED}/1.0.0/retire", {"Content-Type": "application/json"}, 400),
    ],
)
async def test_rebar3_gets_500_where_it_would_print_success(
    mara: Person, method: str, path: str, headers: dict[str, str], meant: int
) -> None:
    sent = {"User-Agent": REBAR3_AGENT} | headers
    body = b"{" if "Content-Type" in headers else None
    answer = await mara.request(method, path, data=body, headers=sent)
    other = await mara.request(method, path, data=body, headers=headers)
    assert (answer.status, answer.value["status"]) == (500, meant)
    assert other.status == meant
    assert answer.value == other.value


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/api/packages/acorn/releases/nine", {}, 400),
        ("GET", "/api/packages", {"Accept": "text/html"}, 406),
        ("POST", "/api/keys", {"Content-Type": "application/json"}, 400),
        ("POST", "/api/keys", {"Accept": "text/html"}, 406),
        ("POST", f"{NAMED}/1.0.0/retire", {}, 422),
    ],
)
async def test_rebar3_gets_the_plain_status_everywhere_else(
    mara: Person, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    sent = {"User-Agent": REBAR3_AGENT} | headers
    body = b"{" if "Content-Type" in headers else None
    answer = await mara.request(method, path, data=body, headers=sent)
    assert answer.status == status


async def test_a_client_that_goes_away_leaves_nothing(hub: TestHub, mara: Person) -> None:
    for path in (NAMED, DOCS, UNNAMED):
        async with wire(hub.url) as connection:
            connection.head(
                "POST", path, authorization=mara.authorization or "", content_length="5000000"
            )
            connection.send(bytes(3_000_000))
            await connection.writer.drain()
            connection.writer.transport.abort()
    assert (await mara.get("/api")).status == 200
    await hub.settled(lambda: _spooled(hub) == [])


@pytest.mark.parametrize("pause_s", [0.0, 0.02], ids=["at once", "while it is read"])
async def test_a_chunk_that_is_none_is_400(hub: TestHub, mara: Person, pause_s: float) -> None:
    async with wire(hub.url) as connection:
        connection.head(
            "POST", NAMED, authorization=mara.authorization or "", transfer_encoding="chunked"
        )
        await asyncio.sleep(pause_s)
        connection.send(b"5\r\nhello\r\nzz\r\n")
        assert (await connection.answer()).status == 400
    await hub.settled(lambda: _spooled(hub) == [])
