"""Which route a request finds, and in which order it is judged (http-api.md §1.1, §1.2)."""

from __future__ import annotations

import pytest
import pytest_asyncio

from tests.hexhub.hubs import AGENT, Answer, Person, TestHub
from tests.hexhub.packages import docs, package
from tests.hexhub.raw import wire

NOT_FOUND = {"status": 404, "message": "Page not found"}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def hub(module_hub: TestHub) -> TestHub:
    """One hub for all tests here."""
    return module_hub


@pytest.fixture(scope="module")
def mara(module_mara: Person) -> Person:
    """A user with a key for the API and all repositories."""
    return module_mara


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def acorn(mara: Person) -> None:
    """A package with docs."""
    assert (await mara.publish(package("acorn"))).status == 201
    answer = await mara.post("/api/packages/acorn/releases/1.0.0/docs", data=docs())
    assert answer.status == 201


@pytest.mark.usefixtures("acorn")
@pytest.mark.parametrize(
    "path",
    [
        "/api//packages/acorn",
        "//api/packages/acorn",
        "/api/packages/acorn/",
        "/api///packages//acorn//",
        "/api/repos/hexpm/packages/acorn",
        "/api/repos//hexpm/packages/acorn",
        "/api/repos/hexpm:hexpm/packages/acorn",
        "/api/packages/%61corn",
    ],
)
async def test_a_path_is_found_however_its_slashes_are_written(hub: TestHub, path: str) -> None:
    async with wire(hub.url) as connection:
        connection.head("GET", path)
        answer = await connection.answer()
    assert answer.status == 200
    assert answer.value["name"] == "acorn"


async def test_a_whole_address_as_the_target_is_understood(hub: TestHub) -> None:
    async with wire(hub.url) as connection:
        connection.head("GET", f"{hub.url}/api")
        answer = await connection.answer()
    assert answer.value["keys_url"].endswith("/api/keys")


async def test_the_index_is_found_with_and_without_a_slash(hub: TestHub) -> None:
    plain = await hub.nobody.get("/api")
    slashed = await hub.nobody.get("/api/")
    assert plain.status == slashed.status == 200
    assert plain.value == slashed.value
    assert plain.value["package_url"].endswith("/api/packages/{name}")
    assert set(plain.value) == {
        "packages_url",
        "package_url",
        "package_retirement_url",
        "package_release_url",
        "package_owners_url",
        "keys_url",
        "key_url",
        "documentation_url",
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("OPTIONS", "/api/packages"),
        ("DELETE", "/api/packages"),
        ("PATCH", "/api/packages/acorn"),
        ("POST", "/api"),
        ("PUT", "/api/keys"),
        ("GET", "/api/publish"),
        ("GET", "/api/nothing"),
        ("POST", "/api/auth"),
    ],
)
async def test_an_unknown_path_or_verb_is_404_and_never_405(
    mara: Person, method: str, path: str
) -> None:
    answer = await mara.request(method, path, headers={"Accept": "application/json"})
    assert answer.status == 404
    assert answer.value == NOT_FOUND
    assert "Allow" not in answer.headers


async def test_an_unknown_path_is_404_before_anything_about_the_caller_is_judged(
    hub: TestHub,
) -> None:
    wrong = Person(hub, None, "no such key")
    answer = await wrong.get("/api/nothing", Accept="text/html")
    assert answer.status == 404


@pytest.mark.usefixtures("acorn")
@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/users/me",
        "/api/users/mara",
        "/api/packages",
        "/api/packages/acorn",
        "/api/packages/acorn/releases/1.0.0",
        "/api/packages/acorn/releases/1.0.0/docs",
        "/api/packages/acorn/owners",
        "/api/packages/acorn/owners/mara",
        "/api/keys",
        "/api/keys/test",
        "/api/auth?domain=api",
        "/api/nothing",
        "/api/packages/unknown",
        "/names",
        "/versions",
        "/packages/acorn",
        "/packages/unknown",
        "/tarballs/acorn-1.0.0.tar",
        "/docs/acorn-1.0.0.tar.gz",
        "/public_key",
        "/installs/hex-1.x.csv",
        "/health",
        "/health/live",
        "/health/ready",
        "/health/read",
        "/status",
        "/api/cluster/status",
        "/",
    ],
)
async def test_head_is_get_without_the_body(mara: Person, path: str) -> None:
    got = await mara.get(path)
    headed = await mara.head(path)
    assert headed.status == got.status
    assert headed.body == b""
    assert _steady(headed) == _steady(got)


VARYING = {"date", "x-request-id", "content-security-policy"}


def _steady(answer: Answer) -> dict[str, str]:
    """Headers that do not differ from one answer to the next; an empty body needs no length."""
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return {
        name: value
        for name, value in headers.items()
        if name not in VARYING and (name, value) != ("content-length", "0")
    }


async def test_head_of_metrics_has_no_body(hub: TestHub) -> None:
    answer = await hub.nobody.head("/metrics")
    assert (answer.status, answer.body) == (200, b"")


async def test_a_post_may_name_another_verb(mara: Person) -> None:
    made = await mara.post("/api/keys", {"name": "extra"})
    answer = await mara.post("/api/keys/extra", {"_method": "DELETE"})
    assert made.status == 201
    assert answer.status == 200
    assert (await mara.get("/api/keys/extra")).status == 404


async def test_parameters_come_from_path_then_body_then_query(mara: Person) -> None:
    by_query = await mara.post("/api/keys?name=from_query")
    by_body = await mara.post("/api/keys?name=from_query", {"name": "from_body"})
    assert by_query.value["name"] == "from_query"
    assert by_body.value["name"] == "from_body"


async def test_the_last_of_several_values_in_a_query_counts(mara: Person) -> None:
    answer = await mara.post("/api/keys?name=first&name=second")
    assert answer.value["name"] == "second"


@pytest.mark.usefixtures("acorn")
async def test_names_are_matched_exactly_and_user_names_in_any_case(mara: Person) -> None:
    assert (await mara.get("/api/packages/Acorn")).status == 404
    assert (await mara.get("/api/users/MARA")).status == 200


NUL = "/api/users/a%00b"


async def test_a_nul_in_path_or_query_is_400(mara: Person) -> None:
    for path in (NUL, "/api/packages?search=%00", "/api/packages?%00=1"):
        answer = await mara.get(path)
        assert (answer.status, answer.value["message"]) == (400, "Bad request")


async def test_a_request_is_judged_in_the_order_of_the_contract(hub: TestHub) -> None:
    """Each step wins over the ones after it."""

    async def status(path: str, **headers: str) -> int:
        sent = {"Authorization": "no such key", "User-Agent": AGENT} | headers
        async with wire(hub.url) as connection:
            fields = {name.replace("-", "_").lower(): value for name, value in sent.items()}
            if not fields["user_agent"]:
                connection.send(
                    f"GET {path} HTTP/1.1\r\nhost: h\r\naccept: {fields.get('accept', '*/*')}\r\n"
                    f"authorization: {fields['authorization']}\r\n\r\n".encode()
                )
            else:
                connection.head("GET", path, **fields)
            return (await connection.answer()).status

    assert await status("/api/nothing" + "/a%00b", Accept="text/html") == 404
    assert await status(NUL, Accept="text/html", **{"User-Agent": ""}) == 406
    assert await status(NUL, **{"User-Agent": ""}) == 400
    assert await status(NUL) == 401


async def test_a_malformed_body_is_400_even_where_nothing_is(mara: Person) -> None:
    answer = await mara.post(
        "/api/nothing", data=b"{", headers={"Content-Type": "application/json"}
    )
    assert answer.status == 400


@pytest.mark.parametrize("header", [{}, {"authorization": ""}])
async def test_a_version_that_is_none_is_400_before_the_caller_is_judged(
    mara: Person, hub: TestHub, header: dict[str, str]
) -> None:
    for caller in (mara, hub.nobody):
        answer = await caller.delete("/api/packages/acorn/releases/not-a-version")
        assert answer.status == 400
        assert answer.value == {"status": 400, "message": "invalid version: not-a-version"}


async def test_a_bad_credential_fails_public_reads_too(hub: TestHub) -> None:
    answer = await Person(hub, None, "0" * 32).get("/api/packages")
    assert answer.status == 401
    assert answer.value == {"status": 401, "message": "invalid API key"}
    assert answer.headers["WWW-Authenticate"] == "Basic realm=hex"


async def test_two_credentials_count_as_none(hub: TestHub) -> None:
    async with wire(hub.url) as connection:
        connection.send(
            b"GET /api/packages HTTP/1.1\r\nhost: h\r\nuser-agent: a\r\n"
            b"authorization: x\r\nauthorization: y\r\n\r\n"
        )
        answer = await connection.answer()
    assert answer.status == 200
