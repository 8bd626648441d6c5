"""The objects of the API, compared whole with the examples of http-api.md, Appendix A."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from hexhub.domain import downloads
from hexhub.schema import User
from tests.hexhub.hubs import ERLANG, Person, TestHub
from tests.hexhub.packages import Requirement, docs, package

URL = "http://localhost:4000"


@pytest.fixture
async def full_mara(hub: TestHub) -> Person:
    """A user with everything that a user can have."""
    mara = await hub.user("mara")

    def dress(tx: Any) -> None:
        user = tx.get(User, "mara")
        handles = {"GitHub": "https://github.com/mara"}
        tx.put(msgspec.structs.replace(user, full_name="Mara O", handles=handles))

    await hub.hub.store.transact(dress)
    return mara


async def test_a_package(hub: TestHub, mara: Person) -> None:
    tarball = package("acorn", "1.0.0", description="Oak helpers", licenses=["MIT"])
    await mara.publish(tarball)
    await mara.post("/api/packages/acorn/releases/1.0.0/docs", data=docs())
    retired = await mara.post(
        "/api/packages/acorn/releases/1.0.0/retire", {"reason": "deprecated", "message": "use oak"}
    )
    assert retired.status == 204
    await mara.publish(package("acorn", "1.1.0-rc.1", description="Oak helpers", licenses=["MIT"]))
    await _download(hub, "acorn", "1.0.0", {3: 9, 30: 71, 300: 40})
    value = (await hub.nobody.get("/api/packages/acorn")).value
    dates = [value.pop("inserted_at"), value.pop("updated_at")]
    dates += [release.pop("inserted_at") for release in value["releases"]]
    assert dates[0] == dates[3]
    assert dates[1] == dates[2]
    assert value == {
        "name": "acorn",
        "repository": "hexpm",
        "url": f"{URL}/api/packages/acorn",
        "html_url": f"{URL}/packages/acorn",
        "docs_html_url": f"{URL}/docs/acorn/",
        "latest_version": "1.1.0-rc.1",
        "latest_stable_version": "1.0.0",
        "configs": {
            "mix.exs": '{:acorn, "~> 1.0"}',
            "rebar.config": '{acorn, "1.0.0"}',
            "erlang.mk": "dep_acorn = hex 1.0.0",
        },
        "meta": {
            "description": "Oak helpers",
            "licenses": ["MIT"],
            "links": {"Home": "https://example.org/acorn"},
            "maintainers": [],
        },
        "releases": [
            {
                "version": "1.1.0-rc.1",
                "url": f"{URL}/api/packages/acorn/releases/1.1.0-rc.1",
                "has_docs": False,
            },
            {
                "version": "1.0.0",
                "url": f"{URL}/api/packages/acorn/releases/1.0.0",
                "has_docs": True,
            },
        ],
        "retirements": {"1.0.0": {"reason": "deprecated", "message": "use oak"}},
        "security_advisories": [],
        "downloads": {"all": 120, "recent": 80, "week": 9},
        "owners": [
            {"username": "mara", "url": f"{URL}/api/users/mara", "email": "mara@example.org"}
        ],
    }


async def _download(hub: TestHub, name: str, version: str, by_age: dict[int, int]) -> None:
    today = hub.hub.now().date()
    counts = {
        ("hexpm", name, version, (today - timedelta(days=age)).isoformat()): count
        for age, count in by_age.items()
    }
    await hub.hub.store.transact(downloads.add, counts)


async def test_a_package_in_a_list_names_the_package_and_not_the_application(
    mara: Person,
) -> None:
    await mara.publish(package("acorn", app="oak_lib"))
    listed = (await mara.get("/api/packages")).value[0]
    shown = (await mara.get("/api/packages/acorn")).value
    assert listed["configs"]["mix.exs"] == '{:acorn, "~> 1.0"}'
    assert shown["configs"] == {
        "mix.exs": '{:oak_lib, "~> 1.0", hex: :acorn}',
        "rebar.config": '{oak_lib, "1.0.0", {pkg, acorn}}',
        "erlang.mk": "dep_acorn = hex 1.0.0",
    }
    assert set(shown) - set(listed) == {"owners", "security_advisories"}
    assert {**listed, "configs": None} == {
        name: value if name != "configs" else None
        for name, value in shown.items()
        if name in listed
    }


@pytest.mark.parametrize(
    ("version", "requirement"),
    [
        ("0.3.2", "~> 0.3.2"),
        ("1.2.3", "~> 1.2"),
        ("2.0.0-rc.1", "~> 2.0.0-rc.1"),
        ("10.20.30", "~> 10.20"),
    ],
)
async def test_the_line_for_mix_by_version(mara: Person, version: str, requirement: str) -> None:
    await mara.publish(package("acorn", version))
    value = (await mara.get(f"/api/packages/acorn/releases/{version}")).value
    assert value["configs"]["mix.exs"] == f'{{:acorn, "{requirement}"}}'


async def test_a_private_package(hub: TestHub, mara: Person) -> None:
    await hub.organization("forest", mara)
    published = await mara.publish(package("oak", description=None), repository="forest")
    value = (await mara.get("/api/repos/forest/packages/oak")).value
    assert published.headers["Location"] == "/api/packages/oak/releases/1.0.0"
    assert value["repository"] == "forest"
    assert value["url"] == f"{URL}/api/repos/forest/packages/oak"
    assert value["html_url"] == f"{URL}/packages/forest/oak"
    assert value["releases"][0]["url"] == f"{URL}/api/repos/forest/packages/oak/releases/1.0.0"
    assert value["configs"]["mix.exs"] == '{:oak, "~> 1.0", organization: "forest"}'
    assert value["meta"]["description"] is None
    assert value["owners"] == []
    assert value["downloads"] == {}
    assert value["docs_html_url"] is None


async def test_a_release(hub: TestHub, full_mara: Person) -> None:
    await full_mara.publish(package("jason"))
    tarball = package(
        "acorn",
        requirements={"jason": Requirement("~> 1.4", optional=True)},
        build_tools=["mix"],
    )
    published = await full_mara.publish(tarball)
    assert published.status == 201
    assert published.headers["Location"] == "/api/packages/acorn/releases/1.0.0"
    await full_mara.post("/api/packages/acorn/releases/1.0.0/docs", data=docs())
    await _download(hub, "acorn", "1.0.0", {1: 100, 2: 20, 0: 7})
    shown = (await hub.nobody.get("/api/packages/acorn/releases/1.0.0")).value
    expected = {
        "version": "1.0.0",
        "checksum": hashlib.sha256(tarball).hexdigest(),
        "has_docs": True,
        "inserted_at": shown["inserted_at"],
        "updated_at": shown["updated_at"],
        "retirement": None,
        "package_url": f"{URL}/api/packages/acorn",
        "url": f"{URL}/api/packages/acorn/releases/1.0.0",
        "html_url": f"{URL}/packages/acorn/1.0.0",
        "docs_html_url": f"{URL}/docs/acorn/1.0.0/",
        "requirements": {"jason": {"app": "jason", "requirement": "~> 1.4", "optional": True}},
        "configs": {
            "mix.exs": '{:acorn, "~> 1.0"}',
            "rebar.config": '{acorn, "1.0.0"}',
            "erlang.mk": "dep_acorn = hex 1.0.0",
        },
        "meta": {"app": "acorn", "build_tools": ["mix"], "elixir": None},
        "downloads": 120,
        "publisher": {
            "username": "mara",
            "url": f"{URL}/api/users/mara",
            "email": "mara@example.org",
        },
        "security_advisories": [],
    }
    assert shown == expected
    answered = published.value
    assert answered.pop("downloads") is None
    assert "security_advisories" not in answered
    without_docs = expected | {"has_docs": False, "docs_html_url": None}
    assert answered == {
        name: value
        for name, value in without_docs.items()
        if name not in ("downloads", "security_advisories")
    } | {"updated_at": answered["updated_at"]}


async def test_downloads_of_a_release_as_a_series(hub: TestHub, mara: Person) -> None:
    await mara.publish(package("acorn"))
    await _download(hub, "acorn", "1.0.0", {0: 9, 1: 1, 2: 2, 40: 4})
    today = hub.hub.now().date()

    def day(age: int) -> str:
        return (today - timedelta(days=age)).isoformat()

    path = "/api/packages/acorn/releases/1.0.0?downloads="
    months: dict[str, int] = {}
    for age, count in ((40, 4), (2, 2), (1, 1)):
        months[day(age)[:7]] = months.get(day(age)[:7], 0) + count

    async def ask(query: str) -> Any:
        return (await mara.get(path + query)).value["downloads"]

    assert await ask("day") == [[day(40), 4], [day(2), 2], [day(1), 1]]
    assert await ask("month") == sorted([month, count] for month, count in months.items())
    assert await ask(f"day&downloads_after={day(2)}") == [[day(2), 2], [day(1), 1]]
    assert await ask(f"day&downloads_before={day(2)}") == [[day(40), 4], [day(2), 2]]
    assert await ask("day&downloads_after=never") == await ask("day")
    assert await ask("all") == await ask("else") == 7


async def test_a_release_without_downloads_counts_zero(mara: Person) -> None:
    await mara.publish(package("acorn"))
    value = (await mara.get("/api/packages/acorn/releases/1.0.0")).value
    assert value["downloads"] in (0, [])


async def test_the_caller(hub: TestHub, full_mara: Person) -> None:
    await hub.organization("forest", full_mara)
    await full_mara.publish(package("acorn"))
    value = (await full_mara.get("/api/users/me")).value
    assert value == {
        "username": "mara",
        "full_name": "Mara O",
        "handles": {"GitHub": "https://github.com/mara"},
        "url": f"{URL}/api/users/mara",
        "email": "mara@example.org",
        "inserted_at": value["inserted_at"],
        "updated_at": value["updated_at"],
        "owned_packages": {"acorn": f"{URL}/api/packages/acorn"},
        "packages": [
            {
                "name": "acorn",
                "repository": "hexpm",
                "url": f"{URL}/api/packages/acorn",
                "html_url": f"{URL}/packages/acorn",
            }
        ],
        "organizations": [{"name": "forest", "role": "admin"}],
    }


async def test_a_caller_with_nothing_still_has_lists(mara: Person) -> None:
    for accept in ("application/json", ERLANG):
        value = (await mara.get("/api/users/me", Accept=accept)).value
        assert value["organizations"] == []
        assert value["packages"] == []
        assert value["owned_packages"] == {}
        assert value["handles"] == {}
        assert "full_name" not in value


async def test_another_user_has_no_organizations_and_only_visible_packages(
    hub: TestHub, mara: Person
) -> None:
    otto = await hub.user("otto")
    await hub.organization("forest", mara)
    await mara.publish(package("acorn"))
    await mara.publish(package("oak"), repository="forest")
    await mara.put("/api/repos/forest/packages/oak/owners/mara", {"level": "full"})
    seen_by = {}
    for name, caller in (("otto", otto), ("mara", mara), ("nobody", hub.nobody)):
        value = (await caller.get("/api/users/mara")).value
        assert "organizations" not in value
        seen_by[name] = [entry["name"] for entry in value["packages"]]
    assert seen_by == {"otto": ["acorn"], "mara": ["acorn", "oak"], "nobody": ["acorn"]}


async def test_packages_of_a_user_come_public_first_then_by_repository_and_name(
    hub: TestHub, mara: Person
) -> None:
    for name in ("forest", "birch"):
        await hub.organization(name, mara)
        for each in ("zz", "aa"):
            await mara.publish(package(each), repository=name)
            await mara.put(f"/api/repos/{name}/packages/{each}/owners/mara", {})
    await mara.publish(package("zebra"))
    entries = (await mara.get("/api/users/me")).value["packages"]
    assert [(entry["repository"], entry["name"]) for entry in entries] == [
        ("hexpm", "zebra"),
        ("birch", "aa"),
        ("birch", "zz"),
        ("forest", "aa"),
        ("forest", "zz"),
    ]


async def test_a_key(mara: Person) -> None:
    await mara.post("/api/keys", {"name": "laptop"})
    made = await mara.post(
        "/api/keys",
        {"name": "laptop", "permissions": [{"domain": "api", "resource": "write"}]},
    )
    assert made.status == 201
    assert made.headers["Location"] == "/api/keys/laptop-2"
    value = made.value
    assert value == {
        "name": "laptop-2",
        "authing_key": False,
        "secret": value["secret"],
        "permissions": [{"domain": "api", "resource": "write"}],
        "revoke_at": None,
        "inserted_at": value["inserted_at"],
        "updated_at": value["inserted_at"],
        "url": f"{URL}/api/keys/laptop-2",
    }
    assert len(value["secret"]) == 32
    assert int(value["secret"], 16) >= 0
    shown = (await mara.get("/api/keys/laptop-2")).value
    assert shown == value | {"secret": None}


async def test_an_owner(hub: TestHub, mara: Person) -> None:
    await hub.user("otto")
    await mara.publish(package("acorn"))
    await mara.put("/api/packages/acorn/owners/otto", {"level": "maintainer"})
    value = (await hub.nobody.get("/api/packages/acorn/owners")).value
    assert [(owner["username"], owner["level"]) for owner in value] == [
        ("mara", "full"),
        ("otto", "maintainer"),
    ]
    one = (await hub.nobody.get("/api/packages/acorn/owners/otto@example.org")).value
    assert one == value[1]
    assert one == {
        "username": "otto",
        "handles": {},
        "url": f"{URL}/api/users/otto",
        "email": "otto@example.org",
        "inserted_at": one["inserted_at"],
        "updated_at": one["updated_at"],
        "level": "maintainer",
    }


async def test_a_member_sees_every_role_as_text(hub: TestHub, mara: Person) -> None:
    otto = await hub.user("otto")
    await hub.organization("forest", mara, otto="read")
    value = (await otto.get("/api/users/me")).value
    assert value["organizations"] == [{"name": "forest", "role": "read"}]
