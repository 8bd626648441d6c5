"""The audit logs of users, organizations and packages."""

from __future__ import annotations

from tests.end_to_end.packages import tarball
from tests.hexhub.hubs import AGENT, Person, TestHub


def acorn(version: str = "1.0.0") -> bytes:
    return tarball("acorn", version, {"src/acorn.erl": b"-module(acorn).\n"})


async def actions(who: Person, path: str) -> list[str]:
    answer = await who.get(path)
    assert answer.status == 200, answer.body
    return [entry["action"] for entry in answer.value]


async def test_a_publisher_finds_what_they_did_newest_first(hub: TestHub, mara: Person) -> None:
    await mara.publish(acorn())
    await mara.post("/api/packages/acorn/releases/1.0.0/retire", {"reason": "security"})
    await mara.delete("/api/packages/acorn/releases/1.0.0/retire")
    await mara.delete("/api/packages/acorn/releases/1.0.0")

    entries = (await mara.get("/api/users/me/audit-logs")).value

    assert [entry["action"] for entry in entries][:4] == [
        "release.revert",
        "release.unretire",
        "release.retire",
        "release.publish",
    ]
    published = entries[3]
    assert set(published) == {"action", "user_agent", "params"}
    assert published["user_agent"] == AGENT
    assert published["params"]["package"]["name"] == "acorn"
    assert published["params"]["package"]["meta"]["licenses"] == ["Apache-2.0"]
    assert published["params"]["release"]["version"] == "1.0.0"
    assert published["params"]["release"]["package_id"] == published["params"]["package"]["id"]
    assert entries[2]["params"]["release"]["retirement"]["reason"] == "security"


async def test_the_log_of_a_public_package_is_public(hub: TestHub, mara: Person) -> None:
    await mara.publish(acorn())
    await hub.user("olaf")
    await mara.put("/api/packages/acorn/owners/olaf", {"level": "maintainer"})
    await mara.delete("/api/packages/acorn/owners/olaf")

    entries = (await hub.nobody.get("/api/packages/acorn/audit-logs")).value

    assert [entry["action"] for entry in entries] == [
        "owner.remove",
        "owner.add",
        "release.publish",
    ]
    assert entries[1]["params"]["user"]["username"] == "olaf"
    assert entries[1]["params"]["level"] == "maintainer"


async def test_a_later_package_of_the_same_name_has_a_log_of_its_own(
    hub: TestHub, mara: Person
) -> None:
    await mara.publish(acorn())
    await mara.delete("/api/packages/acorn/releases/1.0.0")
    await mara.publish(acorn("2.0.0"))

    assert await actions(hub.nobody, "/api/packages/acorn/audit-logs") == ["release.publish"]


async def test_the_log_of_an_organization_is_for_its_members(hub: TestHub, mara: Person) -> None:
    olaf = await hub.user("olaf")
    await hub.organization("forest", mara)
    forest = await hub.key("forest", "api", organization=True)
    await forest.post("/api/orgs/forest/keys", {"name": "ci"})
    await mara.publish(acorn(), repository="forest")

    assert await actions(mara, "/api/orgs/forest/audit-logs") == [
        "release.publish",
        "key.generate",
        "key.generate",
        "organization.create",
    ]
    assert await actions(mara, "/api/repos/forest/packages/acorn/audit-logs") == ["release.publish"]
    for path in ("/api/orgs/forest/audit-logs", "/api/repos/forest/packages/acorn/audit-logs"):
        assert (await olaf.get(path)).status == 404
        assert (await hub.nobody.get(path)).status == 404


async def test_a_refused_change_leaves_no_record(hub: TestHub, mara: Person) -> None:
    await mara.publish(acorn())
    before = await actions(mara, "/api/users/me/audit-logs")

    refused = await mara.publish(acorn(), replace=False)

    assert refused.status == 422
    assert await actions(mara, "/api/users/me/audit-logs") == before


async def test_pages_end_with_an_empty_one(hub: TestHub, mara: Person) -> None:
    for _ in range(101):
        await mara.post("/api/keys", {"name": "many"})

    first = await actions(mara, "/api/users/me/audit-logs?page=1")
    second = await actions(mara, "/api/users/me/audit-logs?page=2")

    assert len(first) == 100
    assert second == ["key.generate", "email.public", "email.primary", "email.add", "user.create"]
    assert await actions(mara, "/api/users/me/audit-logs?page=3") == []
    assert await actions(mara, "/api/users/me/audit-logs?page=-1") == first


async def test_revoking_every_key_leaves_a_record_for_each(hub: TestHub, mara: Person) -> None:
    await mara.post("/api/keys", {"name": "ci"})
    olaf = await hub.key("mara", "api")
    await mara.delete("/api/keys")
    assert olaf is not None

    watcher = await hub.key("mara", "api")
    found = await actions(watcher, "/api/users/me/audit-logs")

    assert found[:3] == ["key.remove"] * 3


async def test_an_organization_has_no_log_under_users_me(hub: TestHub, mara: Person) -> None:
    await hub.organization("forest", mara)
    forest = await hub.key("forest", "api", organization=True)

    assert (await forest.get("/api/users/me/audit-logs")).status == 404
    assert (await hub.nobody.get("/api/users/me/audit-logs")).status == 401
