"""Rules of an organization's repository: on every path of its packages, and on no other repository."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hexhub.domain import mirror_rules, removals
from hexhub.domain.audit import OPERATOR
from hexhub.errors import NotFound
from hexhub.http import judging
from hexhub.schema import PUBLIC
from tests.hexhub.browser import Browser
from tests.hexhub.hubs import Person, TestHub
from tests.hexhub.packages import package
from tests.hexhub.registry import names, registry_package, versions

BASES = ["", "/repo"]


async def rule(
    hub: TestHub,
    kind: str,
    pattern: str = "*",
    requirement: str | None = None,
    value: str | None = None,
    repository: str = "acme",
) -> None:
    """Switch a rule on."""
    made = mirror_rules.make(kind, pattern, requirement, value, hub.hub.now(), repository)
    await hub.hub.store.transact(mirror_rules.add, OPERATOR, made)


@pytest.fixture
async def acme(hub: TestHub, mara: Person) -> TestHub:
    """A hub where `acme` has core 1.0.0 and 1.1.0 and ui 1.0.0, and a public core 1.0.0."""
    await hub.organization("acme", mara)
    for name, version in (("core", "1.0.0"), ("core", "1.1.0"), ("ui", "1.0.0")):
        answer = await mara.publish(package(name, version), repository="acme")
        assert answer.status == 201
    assert (await mara.publish(package("open"))).status == 201
    return hub


async def listed(hub: TestHub, mara: Person, base: str = "") -> dict[str, tuple[str, ...]]:
    found = await versions(hub, repository="acme", reader=mara, base=base)
    return {name: each.versions for name, each in found.items()}


async def of_core(hub: TestHub, mara: Person, base: str = "") -> list[str]:
    found = await registry_package(hub, "core", repository="acme", reader=mara, base=base)
    return [release.version for release in found.releases]


@pytest.mark.parametrize("base", BASES)
async def test_a_refused_release_is_403_and_no_longer_in_the_registry(
    acme: TestHub, mara: Person, base: str
) -> None:
    path = f"{base}/repos/acme/tarballs/core-1.1.0.tar"
    assert (await mara.get(path)).status == 200
    assert await of_core(acme, mara, base) == ["1.0.0", "1.1.0"]
    await rule(acme, "deny", "core", "> 1.0.0")
    for answer in (
        await mara.get(path),
        await mara.head(path),
        await mara.get(path, range="bytes=0-9"),
        await mara.get(path, if_none_match="*"),
    ):
        assert answer.status == 403
        assert "deny core > 1.0.0" in answer.headers["X-Hex-Message"]
    assert (await mara.get(f"{base}/repos/acme/tarballs/core-1.0.0.tar")).status == 200
    assert await of_core(acme, mara, base) == ["1.0.0"]
    assert await listed(acme, mara, base) == {"core": ("1.0.0",), "ui": ("1.0.0",)}


async def test_strangers_learn_nothing_from_a_rule(acme: TestHub) -> None:
    await rule(acme, "deny", "*")
    for path in ("packages/core", "tarballs/core-1.0.0.tar", "versions"):
        answer = await acme.nobody.get(f"/repos/acme/{path}")
        assert (answer.status, "X-Hex-Message" in answer.headers) == (404, False)


async def test_a_package_without_a_release_left_is_403_and_in_no_list(
    acme: TestHub, mara: Person
) -> None:
    await rule(acme, "deny", "core")
    answer = await mara.get("/repos/acme/packages/core")
    assert (answer.status, "deny core" in answer.headers["X-Hex-Message"]) == (403, True)
    assert await listed(acme, mara) == {"ui": ("1.0.0",)}
    found = await names(acme, repository="acme", reader=mara)
    assert list(found) == ["ui"]


async def test_a_cooldown_ends_by_itself_on_every_resource(acme: TestHub, mara: Person) -> None:
    await rule(acme, "cooldown", "core", value="7d")
    assert (await mara.get("/repos/acme/packages/core")).status == 403
    assert await listed(acme, mara) == {"ui": ("1.0.0",)}
    acme.clock.ahead = timedelta(days=7, minutes=1)
    assert await of_core(acme, mara) == ["1.0.0", "1.1.0"]
    assert "core" in await listed(acme, mara)
    assert (await mara.get("/repos/acme/tarballs/core-1.0.0.tar")).status == 200


async def test_what_is_published_or_retired_later_is_judged_too(
    acme: TestHub, mara: Person
) -> None:
    await rule(acme, "retired")
    assert await of_core(acme, mara) == ["1.0.0", "1.1.0"]
    retired = await mara.post(
        "/api/repos/acme/packages/core/releases/1.0.0/retire",
        {"reason": "security", "message": "a hole"},
    )
    assert retired.status == 204
    assert await of_core(acme, mara) == ["1.1.0"]
    assert (await mara.get("/repos/acme/tarballs/core-1.0.0.tar")).status == 403
    await rule(acme, "deny", "core", ">= 2.0.0")
    await mara.publish(package("core", "2.0.0"), repository="acme")
    assert await of_core(acme, mara) == ["1.1.0"]


async def test_rules_stay_in_their_repository(acme: TestHub, mara: Person) -> None:
    await acme.organization("umbra", mara)
    await mara.publish(package("dark"), repository="umbra")
    await rule(acme, "deny", "*")
    await rule(acme, "deny", "*", repository=PUBLIC)
    assert (await mara.get("/repos/umbra/packages/dark")).status == 200
    assert (await mara.get("/repos/umbra/tarballs/dark-1.0.0.tar")).status == 200
    assert (await mara.get("/packages/open")).status == 200  # hexpm's are about the upstream's
    assert (await mara.get("/tarballs/open-1.0.0.tar")).status == 200
    now = acme.hub.now()
    await acme.hub.store.transact(mirror_rules.remove, OPERATOR, "deny *", now, "acme")
    assert await of_core(acme, mara) == ["1.0.0", "1.1.0"]


async def test_no_rule_is_set_for_a_repository_that_is_not_there(acme: TestHub) -> None:
    with pytest.raises(NotFound):
        await rule(acme, "deny", "*", repository="nowhere")


async def test_what_is_explained_is_what_happens(acme: TestHub) -> None:
    hub = acme.hub
    await rule(acme, "deny", "core", "> 1.0.0")
    assert (await judging.verdict(hub, "acme", "core", "1.1.0")).refused
    assert not (await judging.verdict(hub, "acme", "core", "1.0.0")).refused
    extra = mirror_rules.make("cooldown", "*", None, "7d", hub.now(), "acme")
    tried = await judging.verdict(hub, "acme", "ui", "1.0.0", [extra])
    assert tried.refused
    assert not (await judging.verdict(hub, "acme", "ui", "1.0.0")).refused
    unknown = await judging.verdict(hub, "acme", "ui", "9.0.0", [extra])
    assert (unknown.refused, unknown.why) == (True, "nothing is known of this release")
    await rule(acme, "deny", "*", repository=PUBLIC)
    assert not (await judging.verdict(hub, PUBLIC, "open", "1.0.0")).refused
    with pytest.raises(NotFound):
        await judging.verdict(hub, "nowhere", "ui", "1.0.0")


async def test_an_administrator_sets_explains_and_removes_them_on_a_page(acme: TestHub) -> None:
    await acme.user("root", password="a good password", admin=True)
    root = Browser(acme)
    await root.sign_in("root", "a good password")
    made = {"kind": "deny", "pattern": "core", "repository": "acme"}
    await root.send("/admin/rules", "/admin/rules/new", **made)
    with acme.hub.store.view() as view:
        (found,) = mirror_rules.everyone(view)
    assert (found.repository, found.id) == ("acme", "deny core")
    about = "/admin/rules?name=core&version=1.0.0&repository="
    assert "core 1.0.0 is held back" in (await root.get(about + "acme")).text
    assert "core 1.0.0 passes" in (await root.get(about + "hexpm")).text
    await root.send("/admin/rules", "/admin/rules/remove")
    with acme.hub.store.view() as view:
        assert mirror_rules.everyone(view) == []


async def test_rules_go_with_their_organization(acme: TestHub, mara: Person) -> None:
    """Or they would hold for another one that takes its name."""
    await acme.organization("brief", mara)
    await rule(acme, "deny", "*", repository="brief")
    await rule(acme, "deny", "core")
    hub = acme.hub
    await hub.store.transact(removals.remove_organization, OPERATOR, "brief", "over", hub.now())
    with hub.store.view() as view:
        assert [each.repository for each in mirror_rules.everyone(view)] == ["acme"]
