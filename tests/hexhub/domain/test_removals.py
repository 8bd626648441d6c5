"""What an administrator takes away for good."""

from __future__ import annotations

import pytest

from hexhub.domain import mails, removals
from hexhub.domain.audit import OPERATOR
from hexhub.errors import Invalid, NotFound
from tests.end_to_end.packages import tarball
from tests.hexhub.hubs import Answer, Person, TestHub


async def publish(who: Person, version: str, repository: str | None = None) -> Answer:
    tar = tarball("acorn", version, {"src/a.erl": b"-module(a).\n"})
    return await who.publish(tar, repository=repository)


async def remove_package(hub: TestHub, repository: str = "hexpm", reason: str = "malware") -> None:
    await hub.hub.store.transact(
        removals.remove_package, OPERATOR, repository, "acorn", reason, hub.hub.now()
    )


async def test_a_removed_package_is_gone_everywhere_and_reserved(
    hub: TestHub, mara: Person
) -> None:
    await publish(mara, "1.0.0")
    assert (await hub.nobody.get("/tarballs/acorn-1.0.0.tar")).status == 200

    await remove_package(hub)

    for path in ("/packages/acorn", "/tarballs/acorn-1.0.0.tar", "/api/packages/acorn"):
        assert (await hub.nobody.get(path)).status == 404, path
    again = await publish(mara, "2.0.0")
    assert (again.status, again.errors) == (422, {"name": "is reserved"})
    with hub.hub.store.view() as view:
        mail = mails.newest(view, 1)[0]
    assert (mail.to, mail.template) == ("mara@example.org", "package_removed")
    assert mail.values["reason"] == "malware"


async def test_a_removed_version_is_reserved_and_others_stay(hub: TestHub, mara: Person) -> None:
    await publish(mara, "1.0.0")
    await publish(mara, "1.1.0")
    store, now = hub.hub.store, hub.hub.now()

    await store.transact(
        removals.remove_release, OPERATOR, "hexpm", "acorn", "1.1.0", "a password in it", now
    )

    assert (await hub.nobody.get("/tarballs/acorn-1.1.0.tar")).status == 404
    assert (await hub.nobody.get("/tarballs/acorn-1.0.0.tar")).status == 200
    again = await publish(mara, "1.1.0")
    assert (again.status, again.errors) == (422, {"version": "is reserved"})
    assert (await publish(mara, "1.2.0")).status == 201
    log = (await hub.nobody.get("/api/packages/acorn/audit-logs")).value
    removed = next(entry for entry in log if entry["action"] == "release.remove")
    assert removed["params"]["reason"] == "a password in it"


async def test_removing_needs_a_reason_and_something_to_remove(hub: TestHub, mara: Person) -> None:
    await publish(mara, "1.0.0")
    with pytest.raises(Invalid):
        await remove_package(hub, reason="")
    with pytest.raises(NotFound):
        await remove_package(hub, repository="forest")


async def test_an_organization_goes_with_everything_of_it(hub: TestHub, mara: Person) -> None:
    await hub.organization("forest", mara)
    forest = await hub.key("forest", "api", organization=True)
    await publish(mara, "1.0.0", "forest")
    store, now = hub.hub.store, hub.hub.now()
    with store.view() as view:
        there = removals.extent(view, "forest")
    assert (there.packages, there.members, there.keys) == (("acorn",), ("mara",), 1)
    with pytest.raises(Invalid, match="still has packages"):
        await store.transact(removals.remove_organization, OPERATOR, "forest", "closed", now)

    await remove_package(hub, "forest")
    await store.transact(removals.remove_organization, OPERATOR, "forest", "closed", now)

    assert (await mara.get("/api/orgs/forest")).status == 404
    assert (await forest.get("/api/orgs")).status == 401
    with pytest.raises(Invalid, match="taken"):
        await hub.organization("forest", mara)


async def test_an_organization_that_alone_owns_a_public_package_stays(
    hub: TestHub, mara: Person
) -> None:
    await hub.organization("forest", mara)
    await publish(mara, "1.0.0")
    body = {"level": "full", "transfer": True}
    assert (await mara.put("/api/packages/acorn/owners/forest", body)).status == 204

    with pytest.raises(Invalid, match="only owner of public packages: acorn"):
        await hub.hub.store.transact(
            removals.remove_organization, OPERATOR, "forest", "closed", hub.hub.now()
        )
