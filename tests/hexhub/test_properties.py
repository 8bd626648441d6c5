"""Whatever a client sends, it is told what is wrong: never a fault of ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from hexhub.formats import erlang_external
from hexhub.schema import Key
from tests.hexhub import hubs
from tests.hexhub.hubs import AGENT, ERLANG, Person, TestHub
from tests.hexhub.packages import crafted, docs, metadata, package
from tests.hexhub.raw import wire

# The tests here drive a loop of their own: hypothesis calls a test many times, and one hub serves.


class Stage:
    """A hub with something in it, and the loop that it runs on."""

    def __init__(self, folder: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self._opened = hubs.running(folder, registration="open")
        self.hub: TestHub = self.run(self._opened.__aenter__())
        self.mara: Person = self.run(self.hub.user("mara"))
        self.run(self._furnish())

    async def _furnish(self) -> None:
        await self.hub.user("otto")
        await self.hub.organization("forest", self.mara)
        await self.mara.publish(package("acorn"))
        await self.mara.publish(package("steady"))  # what no example changes the owners of
        await self.mara.publish(package("oak"), repository="forest")
        await self.mara.post("/api/packages/acorn/releases/1.0.0/docs", data=docs())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        self.run(self._opened.__aexit__(None, None, None))
        self.run(self.loop.shutdown_default_executor())
        self.loop.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One hub for every example."""
    made = Stage(tmp_path_factory.mktemp("hub"))
    yield made
    made.close()


bounded = settings(
    max_examples=100,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

FIELDS = {
    "/api/users": ["username", "email", "emails", "password", "password_confirmation", "full_name"],
    "/api/keys": ["name", "permissions", "revoke_at"],
    "/api/orgs/forest/keys": ["name", "permissions"],
    "/api/orgs/forest/members": ["name", "role"],
    "/api/orgs/forest": ["seats"],
    "/api/packages/acorn/releases/1.0.0/retire": ["reason", "message"],
    "/api/packages/acorn/retire": ["reason", "message", "replace"],
    "/api/oauth/token": [
        "grant_type",
        "client_id",
        "client_secret",
        "scope",
        "refresh_token",
        "device_code",
        "code",
        "code_verifier",
        "redirect_uri",
    ],
    "/api/oauth/device_authorization": ["client_id", "scope", "name"],
    "/api/oauth/revoke": ["token", "client_id"],
    "/api/short_url": ["url"],
    "/first-run": ["token", "username", "email", "password"],
    "/password/new": ["key", "password"],
}
COMMON = ["_format", "_method", "search", "page", "level", "transfer"]

texts = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "",
            "\0",
            "a\0b",
            "x" * 600,
            "🌳" * 200,
            "api",
            "read",
            "hexpm/acorn",
            "forest",
            "2099-01-01",
            "true",
            "nil",
            "../..",
            "%00",
            "' or 1=1 --",
            "mara",
            "mara@example.org",
            "other",
            "78ea6566-89fd-481e-a1d6-7d9d78eacca8",
            "client_credentials",
            "DELETE",
            "PUT",
        ]
    ),
)
plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
permissions = st.lists(
    st.dictionaries(st.sampled_from(["domain", "resource"]), values, max_size=2), max_size=3
)
routes = sorted(FIELDS)


@st.composite
def bodies(draw: Callable[..., Any]) -> tuple[str, dict[str, Any]]:
    """A route and a body for it."""
    route = draw(st.sampled_from(routes))
    body = draw(
        st.dictionaries(
            st.sampled_from([*FIELDS[route], *COMMON]), st.one_of(values, permissions), max_size=5
        )
    )
    return route, body


def _fine(stage: Stage, status: int) -> None:
    assert stage.hub.faults == []
    assert 200 <= status < 500


@bounded
@given(bodies())
@example(("/api/keys", {"_format": ["json"]}))
@example(
    ("/api/keys", {"name": "x", "permissions": [{"domain": "package", "resource": "a" * 600}]})
)
@example(("/api/keys", {"name": "x", "revoke_at": 2**70}))
def test_no_json_body_is_a_fault(stage: Stage, asked: tuple[str, dict[str, Any]]) -> None:
    route, body = asked
    data = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    answer = stage.run(_from_mara(stage).post(route, data=data, headers=headers))
    _fine(stage, answer.status)


def _from_mara(stage: Stage) -> Person:
    """Mara with a key that is good: an example may have revoked the one before."""
    hub = stage.hub.hub
    with hub.store.view() as view:
        key = view.get(Key, hub.secret_hash(stage.mara.authorization or "")[:32])
    if key is None or key.revoked(hub.now()):
        stage.mara = stage.run(stage.hub.key("mara", "api", "repositories"))
    return stage.mara


@bounded
@given(bodies())
def test_no_erlang_body_is_a_fault(stage: Stage, asked: tuple[str, dict[str, Any]]) -> None:
    route, body = asked
    headers = {"Content-Type": ERLANG, "Accept": ERLANG}
    data = erlang_external.encode(body)
    answer = stage.run(_from_mara(stage).post(route, data=data, headers=headers))
    _fine(stage, answer.status)
    if answer.body and answer.headers.get("Content-Type", "").startswith(ERLANG):
        assert answer.value is not None or answer.body[1:] == b"w\x03nil"


@bounded
@given(
    st.sampled_from(routes),
    st.binary(max_size=200),
    st.sampled_from(
        [ERLANG, "application/json", "application/x-www-form-urlencoded", "text/plain"]
    ),
)
def test_no_bytes_are_a_fault(stage: Stage, route: str, data: bytes, media: str) -> None:
    prefix = b"\x83" if media == ERLANG else b""
    headers = {"Content-Type": media}
    answer = stage.run(_from_mara(stage).post(route, data=prefix + data, headers=headers))
    _fine(stage, answer.status)


@bounded
@given(st.sampled_from(["level", "transfer"]), values, st.sampled_from(["otto", "mara", "forest"]))
def test_no_owner_body_is_a_fault(stage: Stage, field: str, value: object, who: str) -> None:
    body = json.dumps({field: value}).encode()
    answer = stage.run(
        stage.mara.put(
            f"/api/packages/acorn/owners/{who}",
            data=body,
            headers={"Content-Type": "application/json"},
        )
    )
    _fine(stage, answer.status)


SEGMENTS = [
    "api",
    "packages",
    "acorn",
    "releases",
    "1.0.0",
    "docs",
    "repos",
    "forest",
    "hexpm",
    "users",
    "me",
    "keys",
    "orgs",
    "owners",
    "retire",
    "names",
    "versions",
    "tarballs",
    "acorn-1.0.0.tar",
    "repo",
    "public_key",
    "auth",
    "publish",
    "installs",
    "health",
    "..",
    ".",
    "%2e%2e",
    "%00",
    "%ff",
    "%2F",
    "%",
    "%zz",
    "\udcff",
    "ü",
    "x" * 600,
    "",
    "first-run",
    "password",
    "new",
    "search",
    "diff",
    "feeds",
    "badges",
    "l",
]

segments = st.one_of(
    st.sampled_from(SEGMENTS),
    st.text(
        st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_characters=" \t\r\n"),
        max_size=8,
    ),
)
queries = st.one_of(
    st.just(""),
    st.text(st.characters(min_codepoint=33, max_codepoint=0x17F), max_size=20).map(
        lambda text: "?" + text
    ),
    st.sampled_from(
        [
            "?search=%00",
            "?search=%ff",
            "?page=-1",
            "?per_page=x",
            "?_format=x",
            "?a=1&a=2",
            "?domain=api&resource=%00",
            "?token=%ff",
            "?%ff=%00",
            "?=",
        ]
    ),
)


@settings(bounded, max_examples=200)
@given(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]),
    st.lists(segments, max_size=8).map("/".join),
    queries,
    st.sampled_from(["*/*", ERLANG, "application/json", "text/html", "x/\udcff", ""]),
    st.booleans(),
)
@example("GET", "packages/%ff", "", "*/*", False)
@example("GET", "packages/\udcff", "", "*/*", False)
@example("GET", "packages/\udcff%41", "", "*/*", False)
@example("GET", "repos/\udcff/names", "", "*/*", False)
@example("GET", "http://hub/packages/acorn", "", "*/*", True)
def test_no_path_is_a_fault(
    stage: Stage, method: str, path: str, query: str, accept: str, known: bool
) -> None:
    async def ask() -> int:
        async with wire(stage.hub.url) as connection:
            fields = {"accept": accept, "user_agent": AGENT, "connection": "close"}
            if known:
                fields["authorization"] = "\udcff" if method == "PATCH" else caller
            connection.head(method, "/" + path + query, **fields)
            return (await connection.answer(to=method)).status

    caller = _from_mara(stage).authorization or ""
    _fine(stage, stage.run(ask()))


@bounded
@given(
    st.sampled_from(sorted(metadata("x"))),
    values.filter(lambda value: "\0" not in json.dumps(value)),
)
def test_no_metadata_is_a_fault(stage: Stage, field: str, value: object) -> None:
    said = metadata("acorn") | {field: value}
    try:
        body = crafted(said)
    except UnicodeEncodeError:
        return
    answer = stage.run(_from_mara(stage).publish(body))
    assert stage.hub.faults == []
    assert answer.status in (200, 201, 403, 422)


@bounded
@given(st.binary(max_size=2000))
def test_no_upload_is_a_fault(stage: Stage, body: bytes) -> None:
    caller = _from_mara(stage)
    for path in ("/api/publish", "/api/packages/steady/releases/1.0.0/docs"):
        answer = stage.run(caller.post(path, data=body))
        assert stage.hub.faults == []
        assert answer.status == 422
        assert set(answer.errors) == {"tar"}


@bounded
@given(
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60),
    st.sampled_from(
        [
            "range",
            "if_range",
            "if_none_match",
            "if_modified_since",
            "accept",
            "x_request_id",
            "origin",
            "authorization",
            "cookie",
            "x_hex_otp",
            "content_type",
            "accept_encoding",
            "x_forwarded_for",
            "referer",
        ]
    ),
)
def test_no_header_is_a_fault(stage: Stage, value: str, name: str) -> None:
    async def ask(path: str) -> int:
        async with wire(stage.hub.url) as connection:
            connection.head("GET", path, **{"connection": "close", name: value})
            return (await connection.answer()).status

    for path in ("/tarballs/acorn-1.0.0.tar", "/api/packages/acorn", "/packages/acorn", "/"):
        _fine(stage, stage.run(ask(path)))
