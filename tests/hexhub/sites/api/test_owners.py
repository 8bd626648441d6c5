"""Owners of packages: add, list, remove, levels, transfer (http-api.md §3.9, §4.3)."""

from __future__ import annotations

from itertools import count

import pytest
import pytest_asyncio

from tests.hexhub.hubs import Person, TestHub
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


LAST_FULL = "cannot demote the last full owner of a package"


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def people(hub: TestHub, mara: Person) -> dict[str, Person]:
    """Others, and an organization of mara's with a member."""
    found = {name: await hub.user(name) for name in ("otto", "tina", "vera")}
    await hub.organization("forest", mara, tina="write")
    return found


def _path(name: str, who: str = "", repository: str | None = None) -> str:
    prefix = f"/api/repos/{repository}" if repository else "/api"
    return f"{prefix}/packages/{name}/owners" + (f"/{who}" if who else "")


async def _owners(mara: Person, name: str, repository: str | None = None) -> dict[str, str]:
    value = (await mara.get(_path(name, repository=repository))).value
    found = {owner["username"]: owner["level"] for owner in value}
    assert list(found) == sorted(found)
    return found


@pytest.mark.parametrize(
    ("body", "level"),
    [
        (None, "full"),
        ({}, "full"),
        ({"level": "full"}, "full"),
        ({"level": "maintainer"}, "maintainer"),
        ({"level": "maintainer", "transfer": False}, "maintainer"),
    ],
)
async def test_an_owner_is_added_with_a_level(
    mara: Person, name: str, body: dict[str, object] | None, level: str
) -> None:
    await mara.publish(package(name))
    answer = await mara.put(_path(name, "otto"), body)
    assert (answer.status, answer.body) == (204, b"")
    assert await _owners(mara, name) == {"mara": "full", "otto": level}


async def test_a_level_stays_unless_another_is_asked_for(mara: Person, name: str) -> None:
    await mara.publish(package(name))
    await mara.put(_path(name, "otto"), {"level": "maintainer"})
    await mara.put(_path(name, "otto"), {})
    assert await _owners(mara, name) == {"mara": "full", "otto": "maintainer"}
    await mara.put(_path(name, "otto"), erlang={"level": "full"})
    assert await _owners(mara, name) == {"mara": "full", "otto": "full"}


async def test_a_maintainer_may_do_all_but_change_owners(
    mara: Person, people: dict[str, Person], name: str
) -> None:
    otto = people["otto"]
    await mara.publish(package(name))
    await mara.put(_path(name, "otto"), {"level": "maintainer"})
    assert (await otto.publish(package(name, "1.1.0"))).status == 201
    for answer in (
        await otto.put(_path(name, "tina"), {}),
        await otto.put(_path(name, "otto"), {"level": "full"}),
        await otto.delete(_path(name, "mara")),
        await otto.delete(_path(name, "otto")),
    ):
        assert answer.status == 403
    assert await _owners(mara, name) == {"mara": "full", "otto": "maintainer"}


async def test_a_transfer_leaves_one_owner(mara: Person, name: str) -> None:
    await mara.publish(package(name))
    await mara.put(_path(name, "tina"), {"level": "maintainer"})
    answer = await mara.put(_path(name, "otto"), {"level": "full", "transfer": True})
    assert answer.status == 204
    assert await _owners(mara, name) == {"otto": "full"}
    assert (await mara.put(_path(name, "tina"), {})).status == 403


@pytest.mark.parametrize("transfer", ["true", 1, [True]])
async def test_only_a_real_true_transfers(mara: Person, name: str, transfer: object) -> None:
    await mara.publish(package(name))
    await mara.put(_path(name, "otto"), {"transfer": transfer})
    assert await _owners(mara, name) == {"mara": "full", "otto": "full"}
    refused = await mara.put(_path(name, "forest"), {"transfer": transfer})
    assert refused.status == 422


async def test_the_last_full_owner_keeps_the_level(mara: Person, name: str) -> None:
    await mara.publish(package(name))
    for who in ("mara", "otto"):
        answer = await mara.put(_path(name, who), {"level": "maintainer", "transfer": True})
        assert (answer.status, answer.errors) == (422, {"username": LAST_FULL})
    answer = await mara.put(_path(name, "mara"), {"level": "maintainer"})
    assert answer.errors == {"username": LAST_FULL}
    await mara.put(_path(name, "otto"), {"level": "full"})
    assert (await mara.put(_path(name, "mara"), {"level": "maintainer"})).status == 204


@pytest.mark.parametrize("level", ["owner", "", 1, ["full"], {"a": 1}, True])
async def test_a_level_that_is_none_is_told(mara: Person, name: str, level: object) -> None:
    await mara.publish(package(name))
    answer = await mara.put(_path(name, "otto"), {"level": level})
    assert (answer.status, answer.errors) == (422, {"level": "is invalid"})
    assert await _owners(mara, name) == {"mara": "full"}


async def test_an_owner_is_removed(mara: Person, name: str) -> None:
    await mara.publish(package(name))
    await mara.put(_path(name, "otto"), {})
    assert (await mara.delete(_path(name, "mara"))).status == 204
    assert await _owners(mara, name) == {"otto": "full"}


async def test_a_public_package_keeps_an_owner_and_a_full_one(mara: Person, name: str) -> None:
    await mara.publish(package(name))
    answer = await mara.delete(_path(name, "mara"))
    assert (answer.status, answer.errors) == (
        422,
        {"username": "cannot remove last owner of package"},
    )
    await mara.put(_path(name, "otto"), {"level": "maintainer"})
    answer = await mara.delete(_path(name, "mara"))
    assert answer.errors == {"username": "cannot remove the last full owner of package"}
    answer = await mara.delete(_path(name, "tina"))
    assert answer.errors == {"username": "user is not an owner of package"}
    assert await _owners(mara, name) == {"mara": "full", "otto": "maintainer"}


async def test_unknown_people_and_packages_are_404(mara: Person, name: str) -> None:
    assert (await mara.put(_path(name, "otto"), {})).status == 404
    assert (await mara.get(_path(name))).status == 404
    await mara.publish(package(name))
    for who in ("nobody_here", "nobody@example.org", "x" * 600, "a%2500b"):
        assert (await mara.put(_path(name, who), {})).status == 404
        assert (await mara.get(_path(name, who))).status == 404
        assert (await mara.delete(_path(name, who))).status == 404


@pytest.mark.parametrize(
    "who",
    [
        "otto",
        "OTTO",
        "otto@example.org",
        "otto%40example.org",
        "otto%2540example.org",
        "OTTO%40EXAMPLE.ORG",
    ],
)
async def test_people_are_found_by_name_and_address_however_escaped(
    mara: Person, name: str, who: str
) -> None:
    await mara.publish(package(name))
    assert (await mara.put(_path(name, who), {})).status == 204
    assert (await mara.get(_path(name, who))).value["username"] == "otto"
    assert (await mara.delete(_path(name, who))).status == 204
    assert await _owners(mara, name) == {"mara": "full"}


async def test_an_address_with_a_plus_is_found_as_it_is(
    hub: TestHub, mara: Person, name: str
) -> None:
    await hub.user(name, address=f"{name}+hex@example.org")
    await mara.publish(package(name))
    for who in (
        f"{name}+hex@example.org",
        f"{name}%2Bhex%40example.org",
        f"{name}%252Bhex%2540example.org",
    ):
        assert (await mara.put(_path(name, who), {})).status == 204
    assert await _owners(mara, name) == {"mara": "full", name: "full"}


async def test_an_organization_becomes_owner_by_transfer_only(
    hub: TestHub, mara: Person, people: dict[str, Person], name: str
) -> None:
    await mara.publish(package(name))
    answer = await mara.put(_path(name, "forest"), {})
    assert answer.errors == {
        "username": "organization ownership can only be transferred, removing all existing owners"
    }
    answer = await mara.put(_path(name, "forest"), {"level": "maintainer", "transfer": True})
    assert answer.errors == {
        "level": 'ownership level is required to be "full" for organization ownership'
    }
    body = {"level": "full", "transfer": True}
    assert (await mara.put(_path(name, "forest"), erlang=body)).status == 204
    assert await _owners(mara, name) == {"forest": "full"}
    assert (await people["tina"].publish(package(name, "1.1.0"))).status == 201
    assert (await people["tina"].put(_path(name, "otto"), {})).status == 403
    assert (await people["otto"].publish(package(name, "1.2.0"))).status == 403
    key = await hub.key("forest", "api", organization=True)
    assert (await key.publish(package(name, "1.3.0"))).status == 201
    assert (await mara.put(_path(name, "mara"), {"transfer": True})).status == 204


async def test_owners_of_private_packages_must_be_members(
    mara: Person, people: dict[str, Person], name: str
) -> None:
    await mara.publish(package(name), repository="forest")
    answer = await mara.put(_path(name, "otto", "forest"), {})
    assert answer.errors == {
        "username": "cannot add owner to private package when the user is not a member "
        "of the organization"
    }
    assert (await mara.put(_path(name, "tina", "forest"), {"level": "maintainer"})).status == 204
    assert await _owners(mara, name, "forest") == {"tina": "maintainer"}
    assert (await mara.delete(_path(name, "tina", "forest"))).status == 204
    assert await _owners(mara, name, "forest") == {}


async def test_the_public_repository_may_be_named(mara: Person, name: str) -> None:
    """Hex does for the owner check and the transfer (http-api.md §6.10)."""
    await mara.publish(package(name))
    assert (await mara.put(_path(name, "otto", "hexpm"), {})).status == 204
    assert await _owners(mara, name, "hexpm") == {"mara": "full", "otto": "full"}


async def test_a_private_address_finds_nobody_and_is_not_shown(
    hub: TestHub, mara: Person, name: str
) -> None:
    await hub.user(name, public=False)
    await mara.publish(package(name))
    assert (await mara.put(_path(name, f"{name}@example.org"), {})).status == 404
    assert (await mara.get(f"/api/users/{name}@example.org")).status == 404
    await mara.put(_path(name, name), {})
    shown = (await mara.get(_path(name, name))).value
    assert "email" not in shown
    assert f"{name}@" not in (await mara.get(f"/api/packages/{name}")).body.decode()
    assert (await mara.delete(_path(name, f"{name}@example.org"))).status == 204
