"""API keys: make, list, show, revoke, use (http-api.md §2.2, §3.10)."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from typing import Any

import pytest
import pytest_asyncio

from tests.hexhub.hubs import ERLANG, Answer, Person, TestHub
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


async def _make(person: Person, name: object, *permissions: Any, **more: object) -> Answer:
    body = {"name": name, "permissions": list(permissions)} | more
    return await person.post("/api/keys", body)


async def test_a_new_key_works_and_its_secret_is_never_shown_again(
    hub: TestHub, mara: Person, name: str
) -> None:
    made = await _make(mara, name)
    key = Person(hub, None, made.value["secret"])
    shown = (await key.get(f"/api/keys/{name}")).value
    listed = (await mara.get("/api/keys")).value
    assert made.value["permissions"] == [{"domain": "api", "resource": None}]
    assert shown["authing_key"] is True
    assert shown["secret"] is None
    assert {entry["secret"] for entry in listed} == {None}
    assert [entry["name"] for entry in listed] == sorted(entry["name"] for entry in listed)
    assert [entry["name"] for entry in listed if entry["authing_key"]] == ["test"]


async def test_names_are_made_unique_by_the_highest_number_plus_one(
    mara: Person, name: str
) -> None:
    names = [(await _make(mara, name)).value["name"] for _ in range(3)]
    assert names == [name, f"{name}-2", f"{name}-3"]
    await mara.delete(f"/api/keys/{name}-2")
    assert (await _make(mara, name)).value["name"] == f"{name}-4"
    await mara.delete(f"/api/keys/{name}")
    assert (await _make(mara, name)).value["name"] == name
    await _make(mara, f"{name}-7")
    assert (await _make(mara, name)).value["name"] == f"{name}-8"


async def test_names_of_one_owner_do_not_matter_to_another(
    hub: TestHub, mara: Person, name: str
) -> None:
    otto = await hub.user(name)
    await _make(mara, "shared")
    assert (await _make(otto, "shared")).value["name"] == "shared"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ([], [("api", None)]),
        (None, [("api", None)]),
        ([{"domain": "api"}], [("api", None)]),
        ([{"domain": "api", "resource": ""}], [("api", None)]),
        ([{"domain": "api", "resource": None}], [("api", None)]),
        ([{"domain": "api", "resource": "read"}], [("api", "read")]),
        ([{"domain": "api", "resource": "write"}], [("api", "write")]),
        ([{"domain": "repositories", "resource": ""}], [("repositories", None)]),
        ([{"domain": "repository", "resource": "forest"}], [("repository", "forest")]),
        ([{"domain": "docs", "resource": "forest"}], [("docs", "forest")]),
        ([{"domain": "package", "resource": "acorn"}], [("package", "hexpm/acorn")]),
        ([{"domain": "package", "resource": "hexpm/acorn"}], [("package", "hexpm/acorn")]),
        ([{"domain": "package", "resource": "forest/oak"}], [("package", "forest/oak")]),
        (
            [{"domain": "api", "resource": "read"}, {"domain": "repositories"}],
            [("api", "read"), ("repositories", None)],
        ),
    ],
)
async def test_permissions_that_may_be_asked_for(
    mara: Person, name: str, sent: object, kept: list[tuple[str, str | None]]
) -> None:
    for way in (
        {"json": {"name": name, "permissions": sent}},
        {"erlang": {"name": name, "permissions": sent}},
    ):
        made = await mara.request("POST", "/api/keys", **way)  # type: ignore[arg-type]
        assert made.status == 201
        assert made.value["permissions"] == [{"domain": d, "resource": r} for d, r in kept]


INVALID = "invalid resource for given domain"
NO_REPOSITORY = "you do not have access to this repository"
NO_PACKAGE = "you do not have access to this package"


@pytest.mark.parametrize(
    ("sent", "errors"),
    [
        ("api", "expected type list(map)"),
        ({"domain": "api"}, "expected type list(map)"),
        (["api"], "expected type list(map)"),
        ([{}], {"domain": "can't be blank"}),
        ([{"domain": "all"}], {"domain": "is invalid"}),
        ([{"domain": 1}], {"domain": "expected type string"}),
        ([{"domain": "api", "resource": "all"}], {"resource": INVALID}),
        ([{"domain": "api", "resource": 1}], {"resource": "expected type string"}),
        ([{"domain": "repositories", "resource": "forest"}], {"resource": INVALID}),
        ([{"domain": "repository"}], {"resource": INVALID}),
        ([{"domain": "package", "resource": ""}], {"resource": INVALID}),
        ([{"domain": "repository", "resource": "unknown"}], {"resource": NO_REPOSITORY}),
        ([{"domain": "repository", "resource": "birch"}], {"resource": NO_REPOSITORY}),
        ([{"domain": "docs", "resource": "birch"}], {"resource": NO_REPOSITORY}),
        ([{"domain": "repository", "resource": "x" * 5000}], {"resource": NO_REPOSITORY}),
        ([{"domain": "package", "resource": "unknown"}], {"resource": NO_PACKAGE}),
        ([{"domain": "package", "resource": "ottos"}], {"resource": NO_PACKAGE}),
        ([{"domain": "package", "resource": "a/b/c"}], {"resource": NO_PACKAGE}),
        ([{"domain": "package", "resource": "x" * 5000}], {"resource": NO_PACKAGE}),
        ([{"domain": "api"}] * 1000, "should have at most 100 item(s)"),
    ],
)
async def test_permissions_that_may_not(
    mara: Person, name: str, sent: object, errors: object
) -> None:
    answer = await mara.post("/api/keys", {"name": name, "permissions": sent})
    assert (answer.status, answer.errors) == (422, {"permissions": errors})
    assert (await mara.get(f"/api/keys/{name}")).status == 404


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def others(hub: TestHub, mara: Person) -> Person:
    """Somebody else, with a package and an organization."""
    otto = await hub.user("otto")
    await hub.organization("forest", mara, otto="read")
    await hub.organization("birch", otto)
    await otto.publish(package("ottos"))
    await mara.publish(package("acorn"))
    await mara.publish(package("oak"), repository="forest")
    return otto


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (None, "can't be blank"),
        ("", "can't be blank"),
        (1, "expected type string"),
        (["a"], "expected type string"),
        ("a\0b", "is invalid"),
        ("x" * 129, "should be at most 128 character(s)"),
        ("🌳" * 128, "should be at most 255 byte(s)"),
    ],
)
async def test_a_name_is_needed(mara: Person, given: object, problem: str) -> None:
    answer = await _make(mara, given)
    assert (answer.status, answer.errors) == (422, {"name": problem})


@pytest.mark.parametrize("given", ["a b", "ü", "🌳" * 63, "a.b", "a%2Fb", "{}", "é-2"])
async def test_any_other_text_is_a_name_and_is_found_again(mara: Person, given: str) -> None:
    made = await _make(mara, given)
    assert made.status == 201
    path = made.value["url"].removeprefix("http://localhost:4000")
    assert made.headers["Location"] == path
    assert (await mara.get(path)).value["name"] == made.value["name"]
    assert (await mara.delete(path)).status == 200


async def test_a_key_that_was_revoked_by_a_clock_ahead_is_so_for_one_behind(
    hub: TestHub, mara: Person, name: str
) -> None:
    secret = (await _make(mara, name, {"domain": "api"})).value["secret"]
    holder = Person(hub, mara.name, secret)
    hub.clock.ahead += timedelta(days=2)
    try:
        assert (await mara.delete(f"/api/keys/{name}")).status == 200
    finally:
        hub.clock.ahead -= timedelta(days=2)
    assert (await holder.get("/api/users/me")).status == 401


async def test_revoking_answers_the_key_and_ends_it(hub: TestHub, mara: Person, name: str) -> None:
    key = Person(hub, None, (await _make(mara, name)).value["secret"])
    assert (await key.get("/api/users/me")).status == 200
    answer = await mara.delete(f"/api/keys/{name}")
    assert (answer.status, answer.value["name"]) == (200, name)
    assert answer.value["authing_key"] is False
    assert answer.value["revoke_at"] is not None
    refused = await key.get("/api/users/me")
    assert (refused.status, refused.value["message"]) == (401, "API key revoked")
    assert (await mara.get(f"/api/keys/{name}")).status == 404
    assert (await mara.delete(f"/api/keys/{name}")).status == 404
    assert name not in [entry["name"] for entry in (await mara.get("/api/keys")).value]


async def test_a_key_may_revoke_itself(hub: TestHub, mara: Person, name: str) -> None:
    key = Person(hub, None, (await _make(mara, name)).value["secret"])
    answer = await key.delete(f"/api/keys/{name}")
    assert answer.value["authing_key"] is True
    assert (await key.get("/api/keys")).status == 401


async def test_revoking_all_answers_the_key_that_asked(hub: TestHub, name: str) -> None:
    person = await hub.user(name)
    second = Person(hub, None, (await _make(person, "second")).value["secret"])
    answer = await second.request("DELETE", "/api/keys", headers={"Accept": ERLANG})
    assert (answer.status, answer.value["name"]) == (200, "second")
    assert answer.value["authing_key"] is True
    assert answer.value["revoke_at"] is not None
    for key in (person, second):
        assert (await key.get("/api/keys")).value["message"] == "API key revoked"


async def test_revoking_all_by_password_answers_null(hub: TestHub, name: str) -> None:
    person = await hub.user(name, password="a good password")
    by_password = hub.basic(name, "a good password")
    answer = await by_password.delete("/api/keys")
    assert (answer.status, answer.body) == (200, b"null")
    assert (await person.get("/api/keys")).status == 401
    assert (await by_password.get("/api/keys")).value == []


async def test_keys_can_be_made_by_password(hub: TestHub, name: str) -> None:
    await hub.user(name, password="a good password")
    for who in (name, name.upper(), f"{name}@example.org", f"{name}@EXAMPLE.org"):
        made = await _make(hub.basic(who, "a good password"), "laptop")
        assert made.status == 201
        assert (await Person(hub, None, made.value["secret"]).get("/api/users/me")).status == 200


@pytest.mark.parametrize("password", ["", "wrong", "a good password ", "A good password"])
async def test_a_wrong_password_makes_no_key(hub: TestHub, mara: Person, password: str) -> None:
    hub.clock.ahead += 30 * hub.minute  # so many wrong ones at once would be too many
    for who in ("otto", "nobody_here", "a\0b", "x" * 600):
        refused = await _make(hub.basic(who, password), "laptop")
        assert refused.status == 401
        assert refused.value["message"] == "invalid username and password combination"


async def test_a_key_may_expire(hub: TestHub, mara: Person, name: str) -> None:
    soon = (hub.hub.now() + hub.minute).isoformat()
    made = await _make(mara, name, revoke_at=soon)
    key = Person(hub, None, made.value["secret"])
    assert made.value["revoke_at"] == soon.replace("+00:00", "Z")
    assert (await key.get("/api/users/me")).status == 200
    hub.clock.ahead += 2 * hub.minute
    refused = await key.get("/api/users/me")
    assert (refused.status, refused.value["message"]) == (401, "API key revoked")
    assert (await mara.get(f"/api/keys/{name}")).status == 404


@pytest.mark.parametrize(
    ("moment", "problem"),
    [
        ("2001-01-01T00:00:00Z", "must be in the future"),
        ("tomorrow", "is invalid"),
        ("9999-99-99T00:00:00Z", "is invalid"),
        (["2099-01-01"], "is invalid"),
        ({"at": 1}, "is invalid"),
        (True, "is invalid"),
        ("9999-12-31T23:59:59-23:00", "is invalid"),
    ],
)
async def test_an_end_must_be_a_moment_to_come(
    mara: Person, name: str, moment: object, problem: str
) -> None:
    answer = await _make(mara, name, revoke_at=moment)
    assert (answer.status, answer.errors) == (422, {"revoke_at": problem})


async def test_keys_of_an_organization_are_its_own(
    hub: TestHub, mara: Person, others: Person
) -> None:
    made = await mara.post(
        "/api/orgs/forest/keys",
        {"name": "ci", "permissions": [{"domain": "repository", "resource": "forest"}]},
    )
    assert made.status == 201
    assert made.value["url"] == "http://localhost:4000/api/keys/ci"
    assert made.headers["Location"] == "/api/keys/ci"
    assert (await mara.get("/api/keys/ci")).status == 404
    assert (await mara.get("/api/orgs/forest/keys/ci")).value["name"] == "ci"
    assert (await others.get("/api/orgs/forest/keys")).status == 200
    assert (await others.delete("/api/orgs/forest/keys/ci")).status == 404
    key = Person(hub, None, made.value["secret"])
    assert (await key.get("/repos/forest/packages/oak")).status == 200
    elsewhere = await mara.post(
        "/api/orgs/forest/keys",
        {"name": "bad", "permissions": [{"domain": "repository", "resource": "birch"}]},
    )
    assert elsewhere.errors == {"permissions": {"resource": NO_REPOSITORY}}
    gone = await mara.delete("/api/orgs/forest/keys/ci")
    assert (gone.status, gone.value["name"]) == (200, "ci")
    assert (await key.get("/repos/forest/packages/oak")).status == 404


async def test_an_organization_key_may_make_others_of_its_organization(
    hub: TestHub, mara: Person
) -> None:
    key = await hub.key("forest", "api", organization=True)
    made = await key.post("/api/orgs/forest/keys", {"name": "made-by-key"})
    assert made.status == 201
    assert (await key.post("/api/orgs/birch/keys", {"name": "no"})).status == 404
    answer = await key.delete("/api/orgs/forest/keys")
    assert (answer.status, answer.value["authing_key"]) == (200, True)


async def test_a_use_is_noted_at_most_once_in_five_minutes(
    hub: TestHub, mara: Person, name: str
) -> None:
    made = await _make(mara, name)
    assert "last_use" not in made.value
    key = Person(hub, None, made.value["secret"])

    async def used_at() -> str:
        await key.get("/api/users/me")
        await hub.hub.counters.flush()
        return str((await mara.get(f"/api/keys/{name}")).value["last_use"]["used_at"])

    first = await used_at()
    hub.clock.ahead += 4 * hub.minute
    assert await used_at() == first
    hub.clock.ahead += 2 * hub.minute
    assert await used_at() > first
