"""Packages that move between repositories."""

from __future__ import annotations

import pytest

from hexhub.domain import moves
from hexhub.domain.audit import OPERATOR
from hexhub.errors import Invalid, NotFound
from tests.end_to_end.packages import Requirement, tarball
from tests.hexhub.hubs import Person, TestHub

FILES = {"src/a.erl": b"-module(a).\n"}


async def move(hub: TestHub, name: str, source: str, target: str) -> None:
    await hub.hub.store.transact(moves.move, OPERATOR, source, name, target, hub.hub.now())


async def status(who: Person, path: str) -> int:
    return (await who.get(path)).status


async def test_a_public_package_becomes_private_with_everything_of_it(
    hub: TestHub, mara: Person
) -> None:
    await hub.user("olaf")
    await hub.user("vera")
    await hub.organization("forest", mara, olaf="read")
    await mara.publish(tarball("acorn", "1.0.0", FILES))
    for owner in ("olaf", "vera"):
        await mara.put(f"/api/packages/acorn/owners/{owner}")
    await hub.nobody.get("/tarballs/acorn-1.0.0.tar")
    await hub.hub.counters.flush()

    await move(hub, "acorn", "hexpm", "forest")

    for path in ("/packages/acorn", "/tarballs/acorn-1.0.0.tar", "/api/packages/acorn"):
        assert await status(hub.nobody, path) == 404
    for path in ("packages/acorn", "tarballs/acorn-1.0.0.tar"):
        assert await status(mara, f"/repos/forest/{path}") == 200
    owners = (await mara.get("/api/repos/forest/packages/acorn/owners")).value
    assert [owner["username"] for owner in owners] == ["mara", "olaf"]
    log = (await mara.get("/api/repos/forest/packages/acorn/audit-logs")).value
    assert log[0]["action"] == "package.move"
    assert log[-1]["action"] == "release.publish"


async def test_a_private_package_becomes_public_and_has_an_owner(
    hub: TestHub, mara: Person
) -> None:
    await hub.organization("forest", mara)
    await mara.publish(tarball("acorn", "1.0.0", FILES), repository="forest")

    await move(hub, "acorn", "forest", "hexpm")

    assert await status(hub.nobody, "/packages/acorn") == 200
    assert await status(mara, "/repos/forest/packages/acorn") == 404
    owners = (await hub.nobody.get("/api/packages/acorn/owners")).value
    assert [owner["username"] for owner in owners] == ["forest"]
    assert (await mara.publish(tarball("acorn", "1.1.0", FILES))).status == 201


async def test_what_others_need_or_could_not_see_stays(hub: TestHub, mara: Person) -> None:
    await hub.organization("forest", mara)
    await mara.publish(tarball("acorn", "1.0.0", FILES), repository="forest")
    oak = tarball(
        "oak", "1.0.0", FILES, requirements={"acorn": Requirement("~> 1.0", repository="forest")}
    )
    assert (await mara.publish(oak, repository="forest")).status == 201

    with pytest.raises(Invalid, match="depend on it: forest/oak"):
        await move(hub, "acorn", "forest", "hexpm")
    with pytest.raises(Invalid, match="private packages: forest/acorn"):
        await move(hub, "oak", "forest", "hexpm")
    with pytest.raises(NotFound):
        await move(hub, "beech", "forest", "hexpm")
    with pytest.raises(NotFound):
        await move(hub, "oak", "forest", "coast")


async def test_a_taken_name_is_not_overwritten(hub: TestHub, mara: Person) -> None:
    await hub.organization("forest", mara)
    for repository in (None, "forest"):
        await mara.publish(tarball("acorn", "1.0.0", FILES), repository=repository)

    with pytest.raises(Invalid, match="taken"):
        await move(hub, "acorn", "forest", "hexpm")
