"""Publish, replace and revert releases, and their windows (http-api.md §3.7, §4.2, §4.4)."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from typing import Any

import pytest
import pytest_asyncio

from tests.hexhub.hubs import ERLANG, Answer, Person, TestHub
from tests.hexhub.packages import Requirement, crafted, docs, metadata, package
from tests.hexhub.registry import names, registry_package, versions

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOUR = timedelta(hours=1)
TOO_LATE = "can only modify a release up to one hour after publication"
TOO_LATE_TO_REVERT = "can only delete a release up to one hour after publication"
NO_FLAG = "must include the --replace flag to update an existing release"

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
    """A name that no package has."""
    return f"package_{next(numbers)}"


async def _by_name(person: Person, body: bytes, name: str, query: str = "") -> Answer:
    return await person.post(f"/api/packages/{name}/releases{query}", data=body)


async def _unnamed(person: Person, body: bytes, name: str, query: str = "") -> Answer:
    return await person.post(f"/api/publish{query}", data=body)


both_routes = pytest.mark.parametrize("publish", [_by_name, _unnamed])


@both_routes
async def test_a_new_release_is_201_and_in_the_registry_when_it_answers(
    hub: TestHub, mara: Person, name: str, publish: Any
) -> None:
    answer = await publish(mara, package(name), name)
    assert answer.status == 201
    assert answer.headers["Location"] == f"/api/packages/{name}/releases/1.0.0"
    assert [r.version for r in (await registry_package(hub, name)).releases] == ["1.0.0"]
    assert name in await names(hub)
    assert (await versions(hub))[name].versions == ("1.0.0",)
    assert (await hub.nobody.get(f"/tarballs/{name}-1.0.0.tar")).body == package(name)
    owner = await hub.nobody.get(f"/api/packages/{name}/owners/mara")
    assert owner.value["level"] == "full"


@both_routes
async def test_the_answer_speaks_erlang_to_who_asks_for_it(
    mara: Person, name: str, publish: Any
) -> None:
    erlang = {"Accept": ERLANG}
    path = f"/api/packages/{name}/releases" if publish is _by_name else "/api/publish"
    answer = await mara.post(path, data=package(name), headers=erlang)
    assert answer.status == 201
    assert answer.value["html_url"].endswith(f"/packages/{name}/1.0.0")
    again = await mara.post(f"{path}?replace=false", data=package(name), headers=erlang)
    assert again.value == {
        "status": 422,
        "message": "Validation error(s)",
        "errors": {"inserted_at": NO_FLAG},
    }


@both_routes
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 200),
        ("?replace=true", 200),
        ("?replace=false", 422),
        ("?replace=yes", 422),
        ("?replace=", 422),
    ],
)
async def test_replacing_needs_the_flag_to_be_true_or_absent(
    hub: TestHub, mara: Person, name: str, publish: Any, query: str, status: int
) -> None:
    await publish(mara, package(name), name)
    answer = await publish(mara, package(name, text="changed"), name, query)
    assert answer.status == status
    kept = package(name, text="changed" if status == 200 else "")
    assert (await hub.nobody.get(f"/tarballs/{name}-1.0.0.tar")).body == kept
    if status == 422:
        assert answer.errors == {"inserted_at": NO_FLAG}
        assert "X-Hex-Message" not in answer.headers
    else:
        assert "Location" not in answer.headers


async def test_the_same_bytes_again_change_nothing_and_say_so(
    hub: TestHub, mara: Person, name: str
) -> None:
    await mara.publish(package(name))
    before = hub.hub.store.applied
    again = await mara.publish(package(name), replace=False)
    assert (again.status, again.errors) == (422, {"inserted_at": NO_FLAG})
    assert again.headers["X-Hex-Message"] == (
        '"this exact release is already published";level=warn'
    )
    assert hub.hub.store.applied == before


async def test_replacing_keeps_docs_retirement_and_first_date_and_changes_the_rest(
    hub: TestHub, mara: Person, name: str
) -> None:
    otto = await hub.user(f"otto_{name}")
    await mara.publish(package(name, description="Before"))
    await mara.put(f"/api/packages/{name}/owners/otto_{name}", {"level": "maintainer"})
    path = f"/api/packages/{name}/releases/1.0.0"
    await mara.post(f"{path}/docs", data=docs())
    await mara.post(f"{path}/retire", {"reason": "other", "message": "a reason"})
    before = (await mara.get(path)).value
    body = package(name, description="After", build_tools=["mix"], licenses=["MIT"])
    replaced = await otto.publish(body)
    after = (await mara.get(path)).value
    assert replaced.status == 200
    assert after["has_docs"] is True
    assert after["retirement"] == {"reason": "other", "message": "a reason"}
    assert after["inserted_at"] == before["inserted_at"]
    assert after["updated_at"] > before["updated_at"]
    assert after["publisher"]["username"] == f"otto_{name}"
    assert after["meta"]["build_tools"] == ["mix"]
    assert after["checksum"] != before["checksum"]
    shown = (await mara.get(f"/api/packages/{name}")).value
    assert shown["meta"]["description"] == "After"
    assert shown["meta"]["licenses"] == ["MIT"]
    assert shown["updated_at"] == after["updated_at"]
    entry = (await registry_package(hub, name)).releases[0]
    assert entry.outer_checksum == bytes.fromhex(after["checksum"])
    assert entry.retired is not None


async def test_the_name_in_the_path_must_be_the_one_inside(mara: Person, name: str) -> None:
    answer = await _by_name(mara, package(f"other_{name}"), name)
    assert (answer.status, answer.errors) == (
        422,
        {"name": "metadata does not match package name"},
    )
    assert (await mara.get(f"/api/packages/{name}")).status == 404
    assert (await mara.get(f"/api/packages/other_{name}")).status == 404


@pytest_asyncio.fixture(loop_scope="module")
async def aging(mara: Person, hub: TestHub, name: str) -> Any:
    """Publishes at moments after the first release, and puts the clock back afterwards."""
    began = hub.clock.ahead

    class Aging:
        def at(self, age: timedelta) -> None:
            hub.clock.ahead = began + age

        async def replace(self, version: str = "1.0.0", text: str = "changed") -> Answer:
            return await mara.publish(package(name, version, text))

        async def revert(self, version: str = "1.0.0") -> Answer:
            return await mara.delete(f"/api/packages/{name}/releases/{version}")

    assert (await mara.publish(package(name))).status == 201
    yield Aging()
    hub.clock.ahead = began


SLACK = timedelta(seconds=30)


async def test_a_release_of_a_young_package_may_change_for_a_day(aging: Any) -> None:
    aging.at(24 * HOUR - SLACK)
    assert (await aging.replace()).status == 200
    aging.at(24 * HOUR + SLACK)
    answer = await aging.replace(text="again")
    assert (answer.status, answer.errors) == (422, {"inserted_at": TOO_LATE})


async def test_replacing_does_not_start_the_clock_again(aging: Any) -> None:
    aging.at(24 * HOUR - SLACK)
    await aging.replace()
    aging.at(24 * HOUR + SLACK)
    assert (await aging.replace(text="again")).status == 422


async def test_a_later_release_of_an_old_package_may_change_for_an_hour(aging: Any) -> None:
    aging.at(48 * HOUR)
    assert (await aging.replace("2.0.0", "first")).status == 201
    aging.at(49 * HOUR - SLACK)
    assert (await aging.replace("2.0.0", "second")).status == 200
    aging.at(49 * HOUR + SLACK)
    assert (await aging.replace("2.0.0", "third")).errors == {"inserted_at": TOO_LATE}
    assert (await aging.revert("2.0.0")).errors == {"inserted_at": TOO_LATE_TO_REVERT}


async def test_a_later_release_of_a_young_package_may_change_for_the_packages_day(
    aging: Any,
) -> None:
    aging.at(2 * HOUR)
    await aging.replace("2.0.0")
    aging.at(24 * HOUR - SLACK)
    assert (await aging.replace("2.0.0", "again")).status == 200
    assert (await aging.revert("2.0.0")).status == 204


async def test_the_window_is_judged_before_the_flag(mara: Person, name: str, aging: Any) -> None:
    aging.at(25 * HOUR)
    answer = await mara.publish(package(name, text="changed"), replace=False)
    assert answer.errors == {"inserted_at": TOO_LATE}


async def test_private_releases_may_change_at_any_time(hub: TestHub, mara: Person) -> None:
    await hub.organization("windows", mara)
    await mara.publish(package("oak"), repository="windows")
    began = hub.clock.ahead
    hub.clock.ahead += timedelta(days=1000)
    try:
        replaced = await mara.publish(package("oak", text="changed"), repository="windows")
        reverted = await mara.delete("/api/repos/windows/packages/oak/releases/1.0.0")
    finally:
        hub.clock.ahead = began
    assert (replaced.status, reverted.status) == (200, 204)


async def test_docs_and_retirement_have_no_window(mara: Person, name: str, aging: Any) -> None:
    aging.at(timedelta(days=400))
    path = f"/api/packages/{name}/releases/1.0.0"
    assert (await mara.post(f"{path}/docs", data=docs())).status == 201
    assert (await mara.post(f"{path}/retire", {"reason": "other"})).status == 204
    assert (await mara.delete(f"{path}/retire")).status == 204
    assert (await mara.delete(f"{path}/docs")).status == 204


async def test_a_revert_takes_release_docs_and_tarball(
    hub: TestHub, mara: Person, name: str
) -> None:
    await mara.publish(package(name))
    await mara.publish(package(name, "2.0.0"))
    path = f"/api/packages/{name}/releases/2.0.0"
    await mara.post(f"{path}/docs", data=docs())
    before = (await mara.get(f"/api/packages/{name}")).value["updated_at"]
    reverted = await mara.delete(path)
    assert (reverted.status, reverted.body) == (204, b"")
    for gone in (path, f"/tarballs/{name}-2.0.0.tar", f"/docs/{name}-2.0.0.tar.gz"):
        assert (await mara.get(gone)).status == 404
    shown = (await mara.get(f"/api/packages/{name}")).value
    assert [release["version"] for release in shown["releases"]] == ["1.0.0"]
    assert shown["updated_at"] > before
    assert [r.version for r in (await registry_package(hub, name)).releases] == ["1.0.0"]
    assert (await versions(hub))[name].versions == ("1.0.0",)


async def test_the_last_revert_takes_the_package_and_frees_its_name(
    hub: TestHub, mara: Person, name: str
) -> None:
    otto = await hub.user(f"otto_{name}")
    await mara.publish(package(name))
    assert (await mara.delete(f"/api/packages/{name}/releases/1.0.0")).status == 204
    for gone in (f"/api/packages/{name}", f"/api/packages/{name}/owners", f"/packages/{name}"):
        assert (await mara.get(gone)).status == 404
    assert name not in await names(hub)
    assert name not in await versions(hub)
    assert (await otto.publish(package(name))).status == 201
    owners = (await mara.get(f"/api/packages/{name}/owners")).value
    assert [owner["username"] for owner in owners] == [f"otto_{name}"]


async def test_a_package_that_others_need_stays(hub: TestHub, mara: Person, name: str) -> None:
    await mara.publish(package(name))
    dependant = package(f"on_{name}", requirements={name: Requirement("~> 1.0")})
    assert (await mara.publish(dependant)).status == 201
    refused = await mara.delete(f"/api/packages/{name}/releases/1.0.0")
    assert (refused.status, refused.errors) == (
        422,
        {"name": "you cannot delete this package because other packages depend on it"},
    )
    assert (await mara.get(f"/api/packages/{name}/releases/1.0.0")).status == 200
    assert (await hub.nobody.get(f"/packages/{name}")).status == 200
    await mara.delete(f"/api/packages/on_{name}/releases/1.0.0")
    assert (await mara.delete(f"/api/packages/{name}/releases/1.0.0")).status == 204


async def test_what_is_not_there_cannot_be_reverted(mara: Person, name: str) -> None:
    assert (await mara.delete(f"/api/packages/{name}/releases/1.0.0")).status == 404
    await mara.publish(package(name))
    assert (await mara.delete(f"/api/packages/{name}/releases/2.0.0")).status == 404


async def test_releases_are_listed_newest_first_by_version_order(
    hub: TestHub, mara: Person, name: str
) -> None:
    for version in ("1.9.0", "1.10.0", "1.10.0-rc.2", "1.10.0-rc.10", "0.1.0"):
        assert (await mara.publish(package(name, version))).status == 201
    value = (await mara.get(f"/api/packages/{name}")).value
    ordered = ["1.10.0", "1.10.0-rc.10", "1.10.0-rc.2", "1.9.0", "0.1.0"]
    assert [release["version"] for release in value["releases"]] == ordered
    assert (value["latest_version"], value["latest_stable_version"]) == ("1.10.0", "1.10.0")
    entry = await registry_package(hub, name)
    assert [release.version for release in entry.releases] == ordered[::-1]


async def test_a_package_of_pre_releases_has_no_stable_one(mara: Person, name: str) -> None:
    await mara.publish(package(name, "1.0.0-rc.1"))
    value = (await mara.get(f"/api/packages/{name}")).value
    assert (value["latest_version"], value["latest_stable_version"]) == ("1.0.0-rc.1", None)


# what a tarball says


@pytest.mark.parametrize(
    ("said", "errors"),
    [
        ({"name": None}, {"name": "can't be blank"}),
        ({"name": "a"}, {"name": "should be at least 2 character(s)"}),
        ({"name": "Upper"}, {"name": "has invalid format"}),
        ({"name": "1st"}, {"name": "has invalid format"}),
        ({"name": "with-dash"}, {"name": "has invalid format"}),
        ({"name": "x" * 300}, {"name": "should be at most 128 character(s)"}),
        ({"name": ["a", "b"]}, {"name": "expected type string"}),
        ({"name": "elixir"}, {"name": "is reserved"}),
        ({"name": "repos"}, {"name": "is reserved"}),
        ({"name": "com1"}, {"name": "is reserved"}),
        ({"name": "elixir", "version": "x"}, {"name": "is reserved"}),
        ({"version": None}, {"version": "can't be blank"}),
        ({"version": "1.0"}, {"version": "is invalid SemVer"}),
        ({"version": "1.0.0+build"}, {"version": "build number not allowed"}),
        (
            {"version": "1.0.100000000000000"},
            {"version": "numeric components must be at most 99999999999999"},
        ),
        (
            {"version": "1.0.0-100000000000000"},
            {"version": "numeric components must be at most 99999999999999"},
        ),
        (
            {"version": "1.0.0-" + "a" * 65},
            {"version": "prerelease must be at most 64 characters"},
        ),
        ({"description": None}, {"meta": {"description": "can't be blank"}}),
        ({"description": ""}, {"meta": {"description": "can't be blank"}}),
        ({"description": ["x"]}, {"meta": {"description": "expected type string"}}),
        ({"licenses": None}, {"meta": {"licenses": "can't be blank"}}),
        ({"licenses": ["My Own"]}, {"meta": {"licenses": 'invalid license "My Own"'}}),
        ({"licenses": [1]}, {"meta": {"licenses": "expected type list(string)"}}),
        ({"licenses": "MIT"}, {"meta": {"licenses": "expected type list(string)"}}),
        ({"links": {"a": "ftp://x"}}, {"meta": {"links": 'invalid link "ftp://x"'}}),
        ({"links": {"a": "https://"}}, {"meta": {"links": 'invalid link "https://"'}}),
        (
            {"links": {"a": "javascript:alert(1)"}},
            {"meta": {"links": 'invalid link "javascript:alert(1)"'}},
        ),
        ({"links": {"a": 1}}, {"meta": {"links": "expected type map(string)"}}),
        ({"links": "x"}, {"meta": {"links": "expected type map(string)"}}),
        ({"app": None}, {"meta": {"app": "can't be blank"}}),
        ({"build_tools": []}, {"meta": {"build_tools": "can't be blank"}}),
        ({"files": None}, {"meta": {"files": "can't be blank"}}),
        ({"files": []}, {"meta": {"files": "package can't be empty"}}),
        ({"files": "x"}, {"meta": {"files": "expected type list(string)"}}),
        ({"elixir": "about 1"}, {"meta": {"elixir": 'invalid requirement: "about 1"'}}),
        ({"requirements": "x"}, None),
        ({"requirements": {"dep": "~> 1.0"}}, None),
        (
            {"requirements": {"dep": {"app": "dep", "requirement": "about 1"}}},
            {"requirements": {"dep": 'invalid requirement: "about 1"'}},
        ),
        (
            {"requirements": {"dep": {"app": "dep", "requirement": "!= 1.0.0"}}},
            {
                "requirements": {
                    "dep": 'invalid requirement: "!= 1.0.0", != is not allowed in requirements'
                }
            },
        ),
        (
            {"requirements": {"dep": {"app": "dep"}}},
            {"requirements": {"dep": 'invalid requirement: nil, use ">= 0.0.0" instead'}},
        ),
        (
            {"requirements": {"dep": {"requirement": ">= 0.0.0"}}},
            {"requirements": {"dep": "can't be blank"}},
        ),
        (
            {"requirements": {"dep": {"app": "dep", "requirement": ">= 0.0.0"}}},
            {"requirements": {"dep": 'package does not exist in repository "hexpm"'}},
        ),
        (
            {
                "requirements": {
                    "dep": {"app": "dep", "requirement": ">= 0.0.0", "repository": "forest"}
                }
            },
            {
                "requirements": {
                    "dep": "dependencies can only belong to public repository "
                    '"hexpm", got: "forest"'
                }
            },
        ),
    ],
)
@pytest.mark.parametrize("route", ["named", "unnamed"])
async def test_what_a_release_may_not_say(
    hub: TestHub,
    mara: Person,
    name: str,
    said: dict[str, object],
    errors: dict[str, Any] | None,
    route: str,
) -> None:
    said_in_all = {k: v for k, v in (metadata(name) | said).items() if v is not None}
    body = crafted(said_in_all)
    before = hub.hub.store.applied, hub.traces()
    path = f"/api/packages/{said.get('name', name)}/releases"
    if route == "named" and "name" not in said:
        answer = await mara.post(path, data=body)
    else:
        answer = await mara.publish(body)
    assert answer.status == 422
    assert answer.value["message"] == "Validation error(s)"
    if errors is None:
        assert set(answer.errors) == {"requirements"}
        assert isinstance(answer.errors["requirements"], dict)
    else:
        assert answer.errors == errors
    assert (hub.hub.store.applied, hub.traces()) == before


async def test_a_list_of_licenses_may_be_empty_but_not_missing(mara: Person, name: str) -> None:
    """rebar3 writes such a list, and hexpm takes it."""
    assert (await mara.publish(crafted(metadata(name, licenses=[])))).status == 201


async def test_private_packages_may_say_less(hub: TestHub, mara: Person, name: str) -> None:
    await hub.organization(f"org_{name}", mara)
    said = metadata(name, description=None, licenses=["My Own Terms"])
    assert (await mara.publish(crafted(said), repository=f"org_{name}")).status == 201


async def test_private_packages_may_need_public_ones_and_their_own(
    hub: TestHub, mara: Person, name: str
) -> None:
    org = f"org_{name}"
    await hub.organization(org, mara)
    await hub.organization(f"else_{name}", mara)
    await mara.publish(package(name))
    await mara.publish(package("inner"), repository=org)
    good = package(
        "outer",
        requirements={
            name: Requirement("~> 1.0"),
            "inner": Requirement("~> 1.0", repository=org),
        },
    )
    assert (await mara.publish(good, repository=org)).status == 201
    entry = (await registry_package(hub, "outer", repository=org, reader=mara)).releases[0]
    where = {each.package: each.repository for each in entry.dependencies}
    assert where == {name: "hexpm", "inner": None}
    bad = package("worse", requirements={"inner": Requirement("1.0.0", repository=f"else_{name}")})
    refused = await mara.publish(bad, repository=org)
    assert refused.errors == {
        "requirements": {
            "inner": 'dependencies can only belong to public repository "hexpm" or current '
            f'repository "{org}", got: "else_{name}"'
        }
    }


async def test_a_package_may_need_itself(mara: Person, name: str) -> None:
    body = package(name, requirements={name: Requirement("~> 1.0")})
    assert (await mara.publish(body)).status == 201
    assert (await mara.delete(f"/api/packages/{name}/releases/1.0.0")).status == 204


async def test_whether_a_version_satisfies_a_requirement_is_not_checked(
    mara: Person, name: str
) -> None:
    await mara.publish(package(name))
    body = package(f"on_{name}", requirements={name: Requirement("~> 9.0")})
    assert (await mara.publish(body)).status == 201


async def test_what_a_dependency_carries_into_the_registry(
    hub: TestHub, mara: Person, name: str
) -> None:
    await mara.publish(package(name))
    body = package(
        f"on_{name}", requirements={name: Requirement("~> 1.0", app="renamed", optional=True)}
    )
    await mara.publish(body)
    dependency = (await registry_package(hub, f"on_{name}")).releases[0].dependencies[0]
    assert (dependency.package, dependency.requirement) == (name, "~> 1.0")
    assert (dependency.app, dependency.optional, dependency.repository) == ("renamed", True, None)


async def test_an_organization_key_owns_what_it_publishes_in_public(
    hub: TestHub, mara: Person, name: str
) -> None:
    org = f"org_{name}"
    await hub.organization(org, mara)
    key = await hub.key(org, "api", organization=True)
    assert (await key.publish(package(name))).status == 201
    owners = (await mara.get(f"/api/packages/{name}/owners")).value
    assert [(owner["username"], owner["level"]) for owner in owners] == [(org, "full")]
    assert (await mara.publish(package(name, "1.1.0"))).status == 201
    release = (await mara.get(f"/api/packages/{name}/releases/1.0.0")).value
    assert release["publisher"]["username"] == org


async def test_private_publishes_make_no_owner(hub: TestHub, mara: Person, name: str) -> None:
    org = f"org_{name}"
    await hub.organization(org, mara)
    await mara.publish(package(name), repository=org)
    assert (await mara.get(f"/api/repos/{org}/packages/{name}/owners")).value == []
