"""Accounts, and testing a credential (http-api.md §3.2, §3.11)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio

from tests.hexhub import hubs
from tests.hexhub.hubs import ERLANG, Person, TestHub
from tests.hexhub.packages import package

pytestmark = pytest.mark.asyncio(loop_scope="module")

numbers = count()


@pytest.fixture(scope="module")
def hub(module_hub: TestHub) -> TestHub:
    """One hub for all tests here."""
    return module_hub


@pytest.fixture(scope="module")
def mara(module_mara: Person) -> Person:
    """A user with a key for the API and all repositories."""
    return module_mara


@pytest.fixture
def name() -> str:
    """A name that nothing has."""
    return f"name_{next(numbers)}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TestHub]:
    """A hub where anyone may register."""
    folder = tmp_path_factory.mktemp("open")
    async with hubs.running(folder, registration="open") as running:
        yield running
        assert not running.faults, running.faults[0]


async def test_registration_is_closed_unless_opened(hub: TestHub) -> None:
    answer = await hub.nobody.post("/api/users", {"username": "someone", "email": "o@example.org"})
    assert answer.status == 403
    assert answer.value["message"] == "registration is closed; ask an administrator"
    assert (await hub.nobody.get("/api/users/someone")).status == 404


def _new(name: str, **more: object) -> dict[str, object]:
    said = {"username": name, "email": f"{name}@example.org", "password": "a good password"}
    return {key: value for key, value in (said | more).items() if value is not None}


async def test_a_new_account_can_sign_in(open_hub: TestHub, name: str) -> None:
    body = _new(name.upper(), email=f"{name}@Example.ORG", full_name="New One")
    answer = await open_hub.nobody.post("/api/users", body)
    assert answer.status == 201
    assert answer.headers["Location"] == f"/api/users/{name}"
    assert answer.value["username"] == name
    assert answer.value["email"] == f"{name}@example.org"
    assert answer.value["full_name"] == "New One"
    assert "packages" not in answer.value
    signed_in = open_hub.basic(name, "a good password")
    assert (await signed_in.get("/api/users/me")).status == 200


async def test_an_account_may_have_no_password_and_its_address_in_a_list(
    open_hub: TestHub, name: str
) -> None:
    body = _new(name, password=None, email=None, emails=[{"email": f"{name}@example.org"}])
    assert (await open_hub.nobody.post("/api/users", body)).status == 201
    for password in ("", "None"):
        assert (await open_hub.basic(name, password).get("/api/users/me")).status == 401


@pytest.mark.parametrize(
    ("changed", "errors"),
    [
        ({"username": None}, {"username": "can't be blank"}),
        ({"username": "ab"}, {"username": "should be at least 3 character(s)"}),
        ({"username": "a b c"}, {"username": "has invalid format"}),
        ({"username": "a/b"}, {"username": "has invalid format"}),
        ({"username": "hexpm"}, {"username": "is reserved"}),
        ({"username": ["abc"]}, {"username": "expected type string"}),
        ({"username": "x" * 500}, {"username": "should be at most 128 character(s)"}),
        ({"username": "taken"}, {"username": "has already been taken"}),
        ({"username": "TAKEN"}, {"username": "has already been taken"}),
        ({"username": "forest"}, {"username": "has already been taken"}),
        ({"email": None}, {"emails": "can't be blank"}),
        ({"email": "nowhere"}, {"emails": {"email": "has invalid format"}}),
        ({"email": 1}, {"emails": {"email": "expected type string"}}),
        ({"email": "taken@example.org"}, {"emails": {"email": "already in use"}}),
        ({"email": "Taken@Example.org"}, {"emails": {"email": "already in use"}}),
        ({"password": "short"}, {"password": "should be at least 8 character(s)"}),
        ({"password": 12345678}, {"password": "expected type string"}),
        ({"password": "x" * 2000}, {"password": "should be at most 1024 character(s)"}),
        ({"password_confirmation": "another"}, None),
        ({"full_name": ["x"]}, {"full_name": "expected type string"}),
        ({"full_name": "x" * 256}, {"full_name": "should be at most 255 character(s)"}),
    ],
)
async def test_what_an_account_may_not_be(
    open_hub: TestHub, name: str, changed: dict[str, object], errors: object
) -> None:
    if (await open_hub.nobody.get("/api/users/taken")).status == 404:
        taken = await open_hub.user("taken")
        await open_hub.organization("forest", taken)
    before = open_hub.hub.store.applied
    answer = await open_hub.nobody.post("/api/users", _new(name, **changed))
    assert answer.status == 422
    if errors is None:
        assert set(answer.errors) <= {"password", "password_confirmation"}
    else:
        assert answer.errors == errors
    assert open_hub.hub.store.applied == before


@pytest.mark.parametrize(
    "who", ["mara", "MARA", "mara@example.org", "MARA%40Example.org", "mara%40example.org"]
)
async def test_a_user_is_found_by_name_and_public_address(
    hub: TestHub, mara: Person, who: str
) -> None:
    answer = await hub.nobody.get(f"/api/users/{who}")
    assert (answer.status, answer.value["username"]) == (200, "mara")
    assert (await mara.get(f"/api/users/{who}/test")).value["username"] == "mara"


@pytest.mark.parametrize("who", ["nobody_here", "no@example.org", "x" * 600, "a%2Fb", "%C3%BC"])
async def test_unknown_users_are_404(hub: TestHub, who: str) -> None:
    assert (await hub.nobody.get(f"/api/users/{who}")).status == 404


async def test_an_organization_is_found_as_a_user(hub: TestHub, mara: Person, name: str) -> None:
    await hub.organization(name, mara)
    answer = await hub.nobody.get(f"/api/users/{name}")
    assert (answer.status, answer.value["username"]) == (200, name)


async def test_no_answer_holds_a_password_hash_or_a_secret(
    hub: TestHub, mara: Person, name: str
) -> None:
    person = await hub.user(name, password="a good password")
    for path in ("/api/users/me", f"/api/users/{name}", "/api/keys"):
        body = (await person.get(path)).body.decode()
        assert "argon2" not in body
        assert "password" not in body
        assert (person.authorization or "?") not in body


# /auth


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def resources(hub: TestHub, mara: Person) -> None:
    """A package and an organization of mara's, and an organization of another's."""
    await hub.organization("forest", mara)
    await hub.organization("birch", await hub.user("otto"))
    await mara.publish(package("acorn"))
    await mara.publish(package("oak"), repository="forest")
    await (await hub.key("otto", "api")).publish(package("ottos"))


@pytest.mark.parametrize(
    ("permissions", "query", "status"),
    [
        (("api",), "domain=api", 200),
        (("api",), "domain=api&resource=read", 200),
        (("api",), "domain=api&resource=write", 200),
        (("api",), "domain=api&resource=", 200),
        (("api:read",), "domain=api&resource=read", 200),
        (("api:read",), "domain=api&resource=write", 401),
        (("api:write",), "domain=api&resource=read", 200),
        (("api:write",), "domain=api&resource=write", 200),
        (("package:acorn",), "domain=api&resource=read", 200),
        (("package:acorn",), "domain=api&resource=write", 401),
        (("package:acorn",), "domain=package&resource=acorn", 200),
        (("package:acorn",), "domain=package&resource=hexpm/acorn", 200),
        (("package:acorn",), "domain=package&resource=ottos", 401),
        (("api",), "domain=package&resource=acorn", 401),
        (("api",), "domain=repositories", 401),
        (("api",), "domain=repository&resource=forest", 401),
        (("repositories",), "domain=repositories", 200),
        (("repositories",), "domain=repository&resource=forest", 200),
        (("repositories",), "domain=repository&resource=birch", 403),
        (("repositories",), "domain=repository&resource=unknown", 403),
        (("repository:forest",), "domain=repository&resource=forest", 200),
        (("repository:forest",), "domain=repository&resource=birch", 401),
        (("repository:forest",), "domain=repositories", 401),
        (("docs:forest",), "domain=docs&resource=forest", 200),
        (("repositories",), "domain=docs&resource=forest", 401),
        (("api",), "domain=unknown", 401),
        (("api",), "domain=", 401),
        (("repositories",), "domain=repository", 403),
    ],
)
async def test_whether_a_key_has_a_permission(
    hub: TestHub, permissions: tuple[str, ...], query: str, status: int
) -> None:
    key = await hub.key("mara", *permissions)
    answer = await key.get(f"/api/auth?{query}")
    expected = {
        200: None,
        401: "key not authorized for this action",
        403: "account not authorized for this action",
    }
    assert (answer.status, answer.value.get("message")) == (status, expected[status])
    if status == 200:
        assert answer.value["key"]["owner"] == {"type": "user", "name": "mara"}


async def test_the_answer_names_key_and_owner(hub: TestHub) -> None:
    key = await hub.key("forest", "repository:forest", organization=True)
    answer = await key.request(
        "GET", "/api/auth?domain=repository&resource=forest", headers={"Accept": ERLANG}
    )
    assert answer.value == {
        "key": {
            "name": answer.value["key"]["name"],
            "owner": {"type": "organization", "name": "forest"},
        }
    }
    assert answer.value["key"]["name"].startswith("test")


async def test_an_organization_key_asks_only_for_its_own(hub: TestHub) -> None:
    key = await hub.key("forest", "repositories", organization=True)
    assert (await key.get("/api/auth?domain=repositories")).status == 200
    assert (await key.get("/api/auth?domain=repository&resource=birch")).status == 403


async def test_a_domain_is_needed_before_anything_else(hub: TestHub, mara: Person) -> None:
    for caller in (hub.nobody, mara):
        answer = await caller.get("/api/auth")
        assert answer.value == {
            "status": 400,
            "message": 'missing required parameters: "domain"',
        }


async def test_nobody_and_a_password_have_no_permission(hub: TestHub, name: str) -> None:
    await hub.user(name, password="a good password")
    answer = await hub.nobody.get("/api/auth?domain=api")
    assert (answer.status, answer.value["message"]) == (401, "missing authentication information")
    answer = await hub.basic(name, "a good password").get("/api/auth?domain=api")
    assert (answer.status, answer.value["message"]) == (401, "key not authorized for this action")


async def test_basic_may_be_switched_off(tmp_path: Path) -> None:
    async with hubs.running(tmp_path, basic_auth="off") as hub:
        person = await hub.user("mara", password="a good password")
        answer = await hub.basic("mara", "a good password").get("/api/users/me")
        assert (await person.get("/api/users/me")).status == 200
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="hex"'
    assert answer.value["message"] == (
        "Basic authentication is disabled. Update your client to use OAuth or an API key."
    )
