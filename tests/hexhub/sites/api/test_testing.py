"""The endpoints that only a node in test mode has (http-api.md §9)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.hexhub import hubs
from tests.hexhub.grants import MIX, bearer, device, poll
from tests.hexhub.hubs import Person, TestHub
from tests.hexhub.packages import package

ROUTES = [
    ("POST", "/api/repo"),
    ("POST", "/api/oauth_client"),
    ("POST", "/api/oauth_token"),
    ("POST", "/api/oauth_device_authorize"),
    ("GET", "/api/oauth_device_pending"),
]


@pytest.fixture
async def testing(tmp_path: Path) -> AsyncIterator[TestHub]:
    """A hub in test mode."""
    async with hubs.running(tmp_path, hex_test_mode="true") as hub:
        yield hub


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_outside_test_mode_they_are_not_there(
    hub: TestHub, mara: Person, method: str, path: str
) -> None:
    for person in (hub.nobody, mara):
        answer = await person.request(method, path, json={"name": "forest", "username": "mara"})
        assert answer.status == 404
        assert answer.value == {"status": 404, "message": "Page not found"}


async def test_private_packages_stay_private_outside_test_mode(hub: TestHub, mara: Person) -> None:
    await hub.organization("forest", mara)
    assert (await hub.nobody.get("/repo/repos/forest/names")).status == 404


async def test_the_suite_registers_and_makes_its_organization(testing: TestHub) -> None:
    created = await testing.nobody.post(
        "/api/users", erlang={"username": "user", "email": "user@mail.com", "password": "hunter42"}
    )
    assert created.status == 201
    basic = testing.basic("user", "hunter42")
    key = await basic.post(
        "/api/keys", erlang={"name": "my_key", "permissions": [{"domain": "api"}]}
    )
    user = Person(testing, "user", key.value["secret"])
    assert (await user.post("/api/repo", erlang={"name": "testorg"})).status == 204
    assert (await user.get("/api/orgs")).value[0]["name"] == "testorg"
    await user.publish(package("oak", "1.0.0"), repository="testorg")
    assert (await testing.nobody.get("/repo/repos/testorg/packages/oak")).status == 200
    assert (await testing.nobody.get("/repos/testorg/packages/oak")).status == 404
    assert (await testing.nobody.post("/api/repo", {"name": "other"})).status == 401


async def test_a_client_is_put_and_a_token_made(testing: TestHub) -> None:
    await testing.user("mara")
    client = "00000000-0000-4000-8000-000000000001"
    for _ in range(2):
        answer = await testing.nobody.post(
            "/api/oauth_client",
            {"client_id": client, "name": "Hex CLI", "client_type": "public"},
        )
        assert (answer.status, answer.body) == (201, b"")
    for fields in ({"username": "mara"}, {"username": "mara", "client_id": client, "scope": "api"}):
        made = await testing.nobody.post("/api/oauth_token", fields)
        assert made.value["refresh_token"]
        assert (await bearer(testing, "mara", made.value).get("/api/users/me")).status == 200
    unknown = await testing.nobody.post("/api/oauth_token", {"username": "nobody"})
    assert (unknown.status, unknown.value) == (400, {"error": "User not found"})


async def test_a_device_is_let_in_without_a_person(testing: TestHub) -> None:
    await testing.user("mara")
    none = await testing.nobody.get("/api/oauth_device_pending")
    assert (none.status, none.value) == (404, {"error": "No pending device codes"})
    await device(testing)
    asked = await device(testing)
    pending = await testing.nobody.get("/api/oauth_device_pending")
    assert pending.value == {
        "user_code": asked["user_code"],
        "device_code": asked["device_code"],
        "status": "pending",
    }
    fields = {"user_code": asked["user_code"], "username": "mara"}
    done = await testing.nobody.post("/api/oauth_device_authorize", fields)
    assert (done.status, done.value) == (200, {"status": "authorized"})
    assert (await poll(testing, asked["device_code"], MIX)).status == 200
    again = await testing.nobody.post("/api/oauth_device_authorize", fields)
    assert again.status == 400
    assert "error" in again.value


@pytest.mark.parametrize("wrong", [None, 5, "", ["x"], {"a": 1}, "a\0b"])
async def test_wrong_types_are_a_4xx(testing: TestHub, wrong: object) -> None:
    mara = await testing.user("mara")
    for method, path in ROUTES:
        fields = dict.fromkeys(
            ("name", "client_id", "username", "scope", "user_code", "redirect_uris"), wrong
        )
        answer = await mara.request(method, path, json=fields)
        assert 400 <= answer.status < 500, path
    assert testing.faults == []
