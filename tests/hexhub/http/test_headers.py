"""Headers of answers: CORS, caching, conditions, ids, challenges (http-api.md §1.9 to §1.14)."""

from __future__ import annotations

import pytest
import pytest_asyncio

from tests.hexhub.hubs import ERLANG, Person, TestHub
from tests.hexhub.packages import docs, package
from tests.hexhub.raw import wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNCACHED = "max-age=0, private, must-revalidate"


@pytest.fixture(scope="module")
def hub(module_hub: TestHub) -> TestHub:
    """One hub for all tests here."""
    return module_hub


@pytest.fixture(scope="module")
def mara(module_mara: Person) -> Person:
    """A user with a key for the API and all repositories."""
    return module_mara


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def acorn(hub: TestHub, mara: Person) -> None:
    """A public package with docs, and a private one."""
    await hub.organization("forest", mara)
    assert (await mara.publish(package("acorn"))).status == 201
    assert (await mara.publish(package("oak"), repository="forest")).status == 201
    answer = await mara.post("/api/packages/acorn/releases/1.0.0/docs", data=docs())
    assert answer.status == 201


async def test_a_user_agent_is_required_on_the_api_and_nowhere_else(hub: TestHub) -> None:
    async def ask(path: str, extra: bytes = b"") -> int:
        async with wire(hub.url) as connection:
            connection.send(f"GET {path} HTTP/1.1\r\nhost: h\r\n".encode() + extra + b"\r\n")
            answer = await connection.answer()
        if answer.status == 400:
            assert answer.value == {"status": 400, "message": "User-Agent header is required"}
        return answer.status

    assert await ask("/api/packages") == 400
    assert await ask("/api/packages", b"user-agent:\r\n") == 200
    for path in (
        "/names",
        "/packages/acorn",
        "/health/live",
        "/api/cluster/status",
        "/",
        "/status",
    ):
        assert await ask(path) == 200


async def test_an_origin_is_answered_for_anyone_but_not_where_requests_are_cut_off(
    hub: TestHub, mara: Person
) -> None:
    allowed = await hub.nobody.get("/api/packages/acorn", Origin="https://a.example")
    assert allowed.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in allowed.headers
    missing = await hub.nobody.get("/api/packages/none", Origin="https://a.example")
    assert missing.headers["Access-Control-Allow-Origin"] == "*"
    refused = [
        await hub.nobody.get("/api/packages/acorn"),
        await hub.nobody.get("/api/packages", Origin="https://a.example", Accept="text/html"),
        await Person(hub, None, "wrong").get("/api/packages", Origin="https://a.example"),
        await mara.post("/api/publish", data=b"x", headers={"Origin": "https://a.example"}),
    ]
    assert all("Access-Control-Allow-Origin" not in answer.headers for answer in refused)


@pytest.mark.parametrize(
    ("path", "anonymous", "known", "has_date"),
    [
        ("/api/packages", "public, max-age=60", "private, max-age=60", False),
        ("/api/packages/acorn", "public, max-age=60", "private, max-age=60", True),
        ("/api/packages/acorn/releases/1.0.0", "public, max-age=60", "private, max-age=60", True),
        ("/api/repos/forest/packages", None, "private, max-age=60", False),
        ("/api/repos/forest/packages/oak", None, "private, max-age=60", True),
        ("/api/users/mara", "private, max-age=60", "private, max-age=60", True),
        ("/api/users/me", None, "private, max-age=60", True),
        ("/api/keys/test", None, "private, max-age=60", True),
    ],
)
async def test_what_may_be_cached_and_is_tagged(
    hub: TestHub, mara: Person, path: str, anonymous: str | None, known: str, has_date: bool
) -> None:
    for caller, expected in ((hub.nobody, anonymous), (mara, known)):
        if expected is None:
            continue
        answer = await caller.get(path)
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == expected
        assert answer.headers["Vary"] == "accept, accept-encoding"
        assert answer.headers["ETag"]
        assert ("Last-Modified" in answer.headers) is has_date


@pytest.mark.parametrize("path", ["/api/keys", "/api/packages/acorn/owners"])
async def test_other_resources_are_private_and_without_a_tag(mara: Person, path: str) -> None:
    answer = await mara.get(path)
    assert answer.headers["Cache-Control"] == "private, max-age=60"
    assert "ETag" not in answer.headers


@pytest.mark.parametrize(
    ("path", "status"),
    [("/api", 200), ("/api/auth?domain=api", 200), ("/api/packages/none", 404), ("/api/auth", 400)],
)
async def test_index_credential_tests_and_errors_are_never_cached(
    mara: Person, path: str, status: int
) -> None:
    answer = await mara.get(path)
    assert answer.status == status
    assert answer.headers["Cache-Control"] == UNCACHED
    assert answer.headers["Vary"] == "accept-encoding"


@pytest.mark.parametrize(
    "path", ["/api/packages", "/api/packages/acorn", "/api/packages/acorn/releases/1.0.0"]
)
async def test_a_copy_that_is_current_is_304(hub: TestHub, path: str) -> None:
    first = await hub.nobody.get(path)
    tag = first.headers["ETag"]
    bare = tag.strip('"')
    for listed in (tag, bare, f"W/{tag}", f'"other", {tag}', f"other,{bare}", "*"):
        answer = await hub.nobody.get(path, If_None_Match=listed)
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["ETag"] == tag
        assert answer.headers["Cache-Control"] == UNCACHED
        assert answer.headers.get("Last-Modified") == first.headers.get("Last-Modified")
    for listed in ('"other"', "", "  "):
        answer = await hub.nobody.get(path, If_None_Match=listed)
        assert (answer.status, answer.body) == (200, first.body)
    headed = await hub.nobody.head(path, If_None_Match=tag)
    assert headed.status == 304


async def test_tags_differ_between_formats(hub: TestHub) -> None:
    json = await hub.nobody.get("/api/packages/acorn")
    erlang = await hub.nobody.get("/api/packages/acorn", Accept=ERLANG)
    assert json.headers["ETag"] != erlang.headers["ETag"]


async def test_dates_are_conditions_where_there_is_one(hub: TestHub) -> None:
    path = "/api/packages/acorn"
    first = await hub.nobody.get(path)
    date, tag = first.headers["Last-Modified"], first.headers["ETag"]
    old = "Mon, 01 Jan 2001 00:00:00 GMT"
    assert (await hub.nobody.get(path, If_Modified_Since=date)).status == 304
    assert (await hub.nobody.get(path, If_Modified_Since=old)).status == 200
    assert (await hub.nobody.get(path, If_Modified_Since=old, If_None_Match=tag)).status == 200
    assert (await hub.nobody.get(path, If_Modified_Since=date, If_None_Match='"x"')).status == 200
    assert (await hub.nobody.get(path, If_Modified_Since=date, If_None_Match=tag)).status == 304
    assert (await hub.nobody.get("/api/packages", If_Modified_Since=date)).status == 200


@pytest.mark.parametrize(
    "date",
    [
        "yesterday",
        "",
        "Mon, 01 Jan 2001 00:00:00",
        "Mon, 01 Jan 2001 00:00:00 -0000",
        "Mon, 01 Jan 99999 00:00:00 GMT",
        "Mon, 99 Jan 2001 00:00:00 GMT",
        "Mon, 01 Jan 2001 00:00:00 +9999",
    ],
)
async def test_a_date_that_is_none_or_odd_is_no_reason_to_fail(hub: TestHub, date: str) -> None:
    answer = await hub.nobody.get("/api/packages/acorn", If_Modified_Since=date)
    assert answer.status == 200


async def test_a_request_id_comes_back_when_it_has_the_right_length(hub: TestHub) -> None:
    for given in ("a" * 20, "b" * 200):
        answer = await hub.nobody.get("/api", X_Request_Id=given)
        assert answer.headers["X-Request-Id"] == given
    seen = set()
    for given in ("a" * 19, "b" * 201, ""):
        for path in ("/api", "/nothing", "/names"):
            answer = await hub.nobody.get(path, X_Request_Id=given)
            made = answer.headers["X-Request-Id"]
            assert made != given
            assert 20 <= len(made) <= 200
            seen.add(made)
    assert len(seen) == 9


async def test_an_answer_is_not_compressed_unless_asked_for(hub: TestHub) -> None:
    for path in ("/api/packages/acorn", "/packages/acorn", "/tarballs/acorn-1.0.0.tar"):
        assert "Content-Encoding" not in (await hub.nobody.get(path)).headers


async def test_registry_and_key_are_never_content_encoded(hub: TestHub) -> None:
    """registry.md §14, T1: Hex would decompress twice."""
    for path in (
        "/names",
        "/versions",
        "/packages/acorn",
        "/public_key",
        "/docs/acorn-1.0.0.tar.gz",
    ):
        answer = await hub.nobody.get(path, Accept_Encoding="gzip, br")
        assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        ("0" * 32, "invalid API key"),
        ("Bearer " + "0" * 32, "invalid API key"),
        ("Bearer a.b.c", "invalid API key"),
        ("bearer x", "invalid API key"),
        ("Basic !!!", "invalid authentication information"),
        ("Basic bm9jb2xvbg==", "invalid authentication information"),
        ("Basic /w==", "invalid authentication information"),
        ("Basic eDp5", "invalid username and password combination"),
        ("Basic \udcff", "invalid authentication information"),
        ("\udcff", "invalid API key"),
        ("", "invalid API key"),
    ],
)
async def test_every_401_says_why_and_has_one_challenge(
    hub: TestHub, authorization: str, message: str
) -> None:
    async with wire(hub.url) as connection:
        connection.head("GET", "/api/packages", authorization=authorization)
        answer = await connection.answer()
    assert (answer.status, answer.value) == (401, {"status": 401, "message": message})
    assert answer.headers["WWW-Authenticate"] == "Basic realm=hex"


async def test_a_missing_credential_says_so(hub: TestHub) -> None:
    answer = await hub.nobody.get("/api/keys")
    assert answer.value == {"status": 401, "message": "missing authentication information"}
    assert answer.headers["WWW-Authenticate"] == "Basic realm=hex"


async def test_a_key_may_come_raw_or_behind_bearer(hub: TestHub, mara: Person) -> None:
    for authorization in (
        mara.authorization,
        f"Bearer {mara.authorization}",
        f"Bearer  {mara.authorization} ",
    ):
        caller = Person(hub, None, authorization)
        assert (await caller.get("/api/users/me")).value["username"] == "mara"


async def test_a_user_agent_that_is_not_text_is_kept_as_far_as_it_is(
    hub: TestHub, mara: Person
) -> None:
    secret = (await mara.post("/api/keys", {"name": "odd-agent"})).value["secret"]
    async with wire(hub.url) as connection:
        connection.head(
            "GET", "/api/users/me", authorization=secret, user_agent="caf\udce9 " + "x" * 400
        )
        assert (await connection.answer()).status == 200
    await hub.hub.counters.flush()
    use = (await mara.get("/api/keys/odd-agent")).value["last_use"]
    assert use["user_agent"] == "caf? " + "x" * 250
    assert use["ip"] == "127.0.0.1"
