"""Dependency confusion: names of ours and an upstream that lies in wait for them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from hexhub.domain import upstream_names
from hexhub.domain.audit import OPERATOR
from hexhub.domain.upstream_names import CLASH
from hexhub.formats import registry as wire
from tests.hexhub.mirrors import Pair, mirroring
from tests.hexhub.packages import Requirement, package
from tests.hexhub.repositories.test_shelf import read


async def _allow(pair: Pair, repository: str, name: str, wins: str = "own") -> None:
    hub = pair.hub.hub
    await hub.store.transact(upstream_names.allow, OPERATOR, repository, name, wins, hub.now())


async def _reserve(pair: Pair, pattern: str) -> None:
    hub = pair.hub.hub
    await hub.store.transact(upstream_names.reserve, OPERATOR, pattern, hub.now())


def _asked_for(pair: Pair, name: str) -> list[str]:
    return [path for path in pair.between.requests if name in path]


@pytest.mark.parametrize("repository", [None, "acme"], ids=["public", "private"])
async def test_a_new_name_that_the_upstream_has_is_refused_until_it_is_allowed(
    pair: Pair, repository: str | None
) -> None:
    await pair.publish("pine", "1.0.0")
    await pair.hub.organization("acme", pair.mara)
    refused = await pair.mara.publish(package("pine", "9.0.0"), repository=repository)
    assert (refused.status, refused.errors) == (422, {"name": CLASH})
    await _allow(pair, repository or "hexpm", "pine")
    assert (await pair.mara.publish(package("pine", "9.0.0"), repository=repository)).status == 201


async def test_a_name_that_the_upstream_does_not_have_is_free_and_not_told_to_it(
    pair: Pair,
) -> None:
    assert (await pair.mara.publish(package("mine"))).status == 201
    assert _asked_for(pair, "mine") == []


@pytest.mark.parametrize("base", ["", "/repo"])
async def test_a_private_name_is_never_asked_and_answers_as_an_unknown_one(
    pair: Pair, base: str
) -> None:
    await pair.hub.organization("acme", pair.mara)
    await pair.mara.publish(package("vault"), repository="acme")
    await pair.publish("vault", "99.0.0")  # an attacker, later, upstream
    unknown = await pair.get(f"{base}/packages/nothing_at_all")
    for path in ("packages/vault", "tarballs/vault-99.0.0.tar", "docs/vault-99.0.0.tar.gz"):
        answer = await pair.get(f"{base}/{path}")
        assert (answer.status, answer.body) == (unknown.status, unknown.body)
        assert "X-Hex-Message" not in answer.headers
    api = await pair.get("/api/packages/vault")
    assert api.status == 404
    assert _asked_for(pair, "vault") == []


async def test_the_shelf_does_not_list_an_upstream_package_of_a_name_of_ours(pair: Pair) -> None:
    await pair.hub.organization("acme", pair.mara)
    await pair.mara.publish(package("vault"), repository="acme")
    await pair.publish("vault", "99.0.0")
    await pair.publish("pine", "1.0.0")
    pair.hub.clock.ahead = timedelta(minutes=5)
    names = wire.decode_names(await read(pair, "/repo/names"))
    assert [entry.name for entry in names.packages] == ["pine"]


async def test_our_public_package_wins_over_an_upstream_one_of_a_later_date(pair: Pair) -> None:
    await pair.mara.publish(package("mine", "1.0.0"))
    await pair.publish("mine", "99.0.0")
    found = wire.decode_package(await read(pair, "/repo/packages/mine"))
    assert [release.version for release in found.releases] == ["1.0.0"]
    assert (await pair.get("/repo/tarballs/mine-99.0.0.tar")).status == 404
    assert _asked_for(pair, "mine") == []


@pytest.mark.parametrize("name", ["acme_core", "ACME_core", "Acme_Core"])
async def test_a_reserved_pattern_is_never_asked_before_anything_is_published(
    pair: Pair, name: str
) -> None:
    await _reserve(pair, "acme_*")
    assert (await pair.get(f"/packages/{name}")).status == 404
    assert (await pair.get(f"/repo/tarballs/{name}-1.0.0.tar")).status == 404
    assert pair.between.total == 0


@pytest.mark.parametrize("name", ["9pine", "_pine", "pine-tree", "pine.tree", "p" * 256, "%70ïne"])
async def test_what_can_be_no_package_is_unknown_and_not_asked_for(pair: Pair, name: str) -> None:
    for path in (f"packages/{name}", f"tarballs/{name}-1.0.0.tar", f"docs/{name}-1.0.0.tar.gz"):
        assert (await pair.get(f"/{path}")).status == 404
        assert (await pair.get(f"/repo/{path}")).status == 404
    assert (await pair.get(f"/api/packages/{name}")).status == 404
    assert pair.between.total == 0


async def test_the_operator_can_let_the_upstream_win(pair: Pair) -> None:
    body = await pair.publish("pine", "1.0.0")
    await pair.hub.organization("acme", pair.mara)
    await _allow(pair, "acme", "pine", "upstream")
    assert (await pair.mara.publish(package("pine", "9.0.0"), repository="acme")).status == 201
    assert (await pair.get("/repo/tarballs/pine-1.0.0.tar")).body == body
    private = await pair.mara.get("/repos/acme/packages/pine")
    assert private.status == 200


async def test_the_operator_can_let_the_upstream_win_over_a_public_package(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    await _allow(pair, "hexpm", "pine", "upstream")
    await pair.mara.publish(package("pine", "9.0.0"))
    found = wire.decode_package(await read(pair, "/repo/packages/pine"))
    assert [release.version for release in found.releases] == ["1.0.0"]
    assert (await pair.get("/repo/tarballs/pine-9.0.0.tar")).status == 404
    versions = wire.decode_versions(await read(pair, "/repo/versions"))
    assert [entry.versions for entry in versions.packages] == [("1.0.0",)]


async def test_a_name_that_nobody_could_check_is_accepted_and_checked_later(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    pair.between.fault = "503"
    assert (await pair.mara.publish(package("pine", "9.0.0"))).status == 201
    assert (await pair.mara.publish(package("mine"))).status == 201
    hub = pair.hub.hub
    with hub.store.view() as view:
        assert {each.name for each in upstream_names.unchecked(view)} == {"mine", "pine"}
    pair.between.fault = None
    pair.hub.clock.ahead = timedelta(minutes=5)
    assert hub.mirror is not None
    await hub.mirror.check_names()
    with hub.store.view() as view:
        assert upstream_names.unchecked(view) == []
        assert [each.name for each in upstream_names.clashes(view)] == ["pine"]


async def test_a_kept_list_of_names_guards_while_the_upstream_is_away(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    await pair.get("/names")
    pair.between.fault = "503"
    pair.hub.clock.ahead = timedelta(days=30)
    assert (await pair.mara.publish(package("pine", "9.0.0"))).status == 422


async def test_a_name_that_appears_at_the_upstream_later_is_told(pair: Pair) -> None:
    await pair.mara.publish(package("mine"))
    await pair.publish("mine", "99.0.0")
    pair.hub.clock.ahead = timedelta(minutes=5)
    hub = pair.hub.hub
    assert hub.mirror is not None
    await hub.mirror.check_names()
    with hub.store.view() as view:
        assert [each.name for each in upstream_names.clashes(view)] == ["mine"]


async def test_requirements_are_looked_for_at_the_upstream_too(
    tmp_path: Path, upstream_keys: tuple[Path, Path]
) -> None:
    async with mirroring(tmp_path, upstream_keys, dependency_check="upstream") as pair:
        await pair.publish("pine", "1.0.0")
        good = package("mine", requirements={"pine": Requirement("~> 1.0")})
        assert (await pair.mara.publish(good)).status == 201
        bad = package("other", requirements={"nothing_at_all": Requirement("~> 1.0")})
        refused = await pair.mara.publish(bad)
        assert refused.errors == {
            "requirements": {"nothing_at_all": 'package does not exist in repository "hexpm"'}
        }
        pair.between.fault = "503"
        pair.hub.clock.ahead = timedelta(days=1)
        assert _asked_for(pair, "nothing_at_all") == []


async def test_a_hub_without_an_upstream_checks_no_names(
    tmp_path: Path, upstream_keys: tuple[Path, Path]
) -> None:
    async with mirroring(tmp_path, upstream_keys, upstream_enabled="false") as pair:
        await pair.publish("pine", "1.0.0")
        assert (await pair.mara.publish(package("pine", "9.0.0"))).status == 201
        assert pair.between.total == 0
        assert (await pair.get("/names")).body == (await pair.get("/repo/names")).body
