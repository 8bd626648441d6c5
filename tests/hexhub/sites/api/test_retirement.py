"""Retire releases and take it back (http-api.md §3.8, §4.5)."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from hexhub.formats import registry as wire
from tests.hexhub.hubs import Person, TestHub
from tests.hexhub.packages import package
from tests.hexhub.registry import registry_package, versions

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


def _path(name: str, version: str = "1.0.0") -> str:
    return f"/api/packages/{name}/releases/{version}/retire"


async def _retirements(mara: Person, name: str) -> Any:
    return (await mara.get(f"/api/packages/{name}")).value["retirements"]


async def test_a_retired_release_shows_everywhere_and_can_still_be_fetched(
    hub: TestHub, mara: Person, name: str
) -> None:
    await mara.publish(package(name))
    await mara.publish(package(name, "2.0.0"))
    before = (await mara.get(f"/api/packages/{name}")).value["updated_at"]
    said = {"reason": "security", "message": "a hole"}
    answer = await mara.post(_path(name), erlang=said)
    assert (answer.status, answer.body) == (204, b"")
    release = (await mara.get(f"/api/packages/{name}/releases/1.0.0")).value
    assert release["retirement"] == said
    shown = (await mara.get(f"/api/packages/{name}")).value
    assert shown["retirements"] == {"1.0.0": said}
    assert shown["updated_at"] > before
    entry = (await registry_package(hub, name)).releases[0].retired
    assert entry is not None
    assert (entry.reason, entry.message) == (wire.RetirementReason.SECURITY, "a hole")
    assert (await versions(hub))[name].retired == (0,)
    assert (await hub.nobody.get(f"/tarballs/{name}-1.0.0.tar")).status == 200


async def test_unretiring_takes_it_all_back_and_is_no_error_twice(
    hub: TestHub, mara: Person, name: str
) -> None:
    await mara.publish(package(name))
    await mara.post(_path(name), {"reason": "other"})
    for _ in range(2):
        assert (await mara.delete(_path(name))).status == 204
        assert await _retirements(mara, name) == {}
        assert (await registry_package(hub, name)).releases[0].retired is None
        assert (await versions(hub))[name].retired == ()


async def test_a_later_retirement_replaces_the_one_before(mara: Person, name: str) -> None:
    await mara.publish(package(name))
    await mara.post(_path(name), {"reason": "other", "message": "first"})
    assert (await mara.post(_path(name), {"reason": "invalid"})).status == 204
    assert await _retirements(mara, name) == {"1.0.0": {"reason": "invalid", "message": None}}


@pytest.mark.parametrize("reason", ["other", "invalid", "security", "deprecated", "renamed"])
async def test_every_reason_reaches_the_registry(
    hub: TestHub, mara: Person, name: str, reason: str
) -> None:
    await mara.publish(package(name))
    assert (await mara.post(_path(name), {"reason": reason})).status == 204
    retired = (await registry_package(hub, name)).releases[0].retired
    assert retired is not None
    assert retired.reason == wire.RetirementReason[reason.upper()]


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"reason": "can't be blank"}),
        ({"reason": ""}, {"reason": "can't be blank"}),
        ({"reason": None}, {"reason": "can't be blank"}),
        ({"reason": "tired"}, {"reason": "is invalid"}),
        ({"reason": 1}, {"reason": "expected type string"}),
        ({"reason": ["other"]}, {"reason": "expected type string"}),
        ({"reason": "other", "message": "ab"}, {"message": "should be at least 3 character(s)"}),
        (
            {"reason": "other", "message": "x" * 141},
            {"message": "should be at most 140 character(s)"},
        ),
        ({"reason": "other", "message": {"a": 1}}, {"message": "expected type string"}),
    ],
)
@pytest.mark.parametrize("whole", [False, True])
async def test_a_wrong_retirement_is_told_under_its_name(
    mara: Person, name: str, body: dict[str, object], errors: dict[str, str], whole: bool
) -> None:
    await mara.publish(package(name))
    path = f"/api/packages/{name}/retire" if whole else _path(name)
    answer = await mara.post(path, body)
    assert (answer.status, answer.errors) == (422, {"retirement": errors})
    assert await _retirements(mara, name) == {}


@pytest.mark.parametrize("message", [None, "", "   ", "abc", "x" * 140, "ü" * 140])
async def test_a_message_is_optional_and_blank_means_none(
    mara: Person, name: str, message: str | None
) -> None:
    await mara.publish(package(name))
    answer = await mara.post(_path(name), {"reason": "other", "message": message})
    assert answer.status == 204
    kept = message if message and message.strip() else None
    assert await _retirements(mara, name) == {"1.0.0": {"reason": "other", "message": kept}}


async def test_a_whole_package_may_be_retired(hub: TestHub, mara: Person, name: str) -> None:
    for version in ("1.0.0", "2.0.0"):
        await mara.publish(package(name, version))
    await mara.post(_path(name), {"reason": "security"})
    answer = await mara.post(f"/api/packages/{name}/retire", {"reason": "deprecated"})
    assert (answer.status, answer.body) == (204, b"")
    assert await _retirements(mara, name) == {
        "1.0.0": {"reason": "security", "message": None},
        "2.0.0": {"reason": "deprecated", "message": None},
    }
    for replace in (False, "yes", None):
        await mara.post(f"/api/packages/{name}/retire", {"reason": "renamed", "replace": replace})
        assert (await _retirements(mara, name))["1.0.0"]["reason"] == "security"
    for replace in (True, "true"):
        await mara.post(f"/api/packages/{name}/retire", {"reason": "renamed", "replace": replace})
    reasons = {each["reason"] for each in (await _retirements(mara, name)).values()}
    assert reasons == {"renamed"}
    assert (await versions(hub))[name].retired == (0, 1)


async def test_what_is_not_there_cannot_be_retired(mara: Person, name: str) -> None:
    good = {"reason": "other"}
    assert (await mara.post(_path(name), good)).status == 404
    assert (await mara.post(f"/api/packages/{name}/retire", good)).status == 404
    await mara.publish(package(name))
    assert (await mara.post(_path(name, "3.0.0"), good)).status == 404
    assert (await mara.delete(_path(name, "3.0.0"))).status == 404
    answer = await mara.post(_path(name, "three"), good)
    assert (answer.status, answer.value["message"]) == (400, "invalid version: three")


async def test_a_private_release_is_retired_in_its_repository(
    hub: TestHub, mara: Person, name: str
) -> None:
    await hub.organization(name, mara)
    await mara.publish(package("oak"), repository=name)
    path = f"/api/repos/{name}/packages/oak/releases/1.0.0/retire"
    assert (await mara.post(path, {"reason": "other"})).status == 204
    found = await registry_package(hub, "oak", repository=name, reader=mara)
    assert found.releases[0].retired is not None
