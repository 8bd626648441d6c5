"""Rules at the point that every byte passes: both faces, HEAD, Range and kept copies alike."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hexhub.domain import advisories, mirror_rules
from hexhub.domain.audit import OPERATOR
from hexhub.formats import osv, registry as wire
from hexhub.http import judging
from tests.hexhub.formats.test_osv import advisory
from tests.hexhub.mirrors import Pair
from tests.hexhub.packages import package
from tests.hexhub.repositories.test_shelf import read

FACES = ["", "/repo"]


async def rule(
    pair: Pair,
    kind: str,
    pattern: str = "*",
    requirement: str | None = None,
    value: str | None = None,
) -> None:
    """Switch a rule on."""
    hub = pair.hub.hub
    made = mirror_rules.make(kind, pattern, requirement, value, hub.now())
    await hub.store.transact(mirror_rules.add, OPERATOR, made)


@pytest.mark.parametrize("base", FACES)
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "not kept"])
async def test_a_refused_release_is_403_by_every_way_and_says_which_rule(
    pair: Pair, base: str, kept: bool
) -> None:
    await pair.publish("pine", "1.0.0")
    path = f"{base}/tarballs/pine-1.0.0.tar"
    if kept:
        assert (await pair.get(path)).status == 200
    await rule(pair, "deny", "pine", "< 2.0.0")
    for answer in (
        await pair.get(path),
        await pair.get(path, range="bytes=0-9"),
        await pair.hub.nobody.request("HEAD", path),
        await pair.get(path, if_none_match="*"),
        await pair.get(path.replace("/tarballs", "//tarballs")),
    ):
        assert answer.status == 403
        assert "deny pine < 2.0.0" in answer.headers["X-Hex-Message"]
        assert answer.headers["X-Hex-Message"].endswith('";level=warn')


async def test_refused_releases_vanish_from_the_shelf(pair: Pair) -> None:
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        await pair.publish("pine", version)
    await rule(pair, "deny", "pine", "== 1.1.0")
    found = wire.decode_package(await read(pair, "/repo/packages/pine"))
    assert [release.version for release in found.releases] == ["1.0.0", "2.0.0"]
    versions = wire.decode_versions(await read(pair, "/repo/versions"))
    assert versions.packages[0].versions == ("1.0.0", "2.0.0")
    theirs = await pair.upstream.nobody.get("/packages/pine")
    assert (await pair.get("/packages/pine")).body == theirs.body


async def test_a_package_without_any_release_left_is_403_on_the_shelf(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    await rule(pair, "deny", "pine")
    answer = await pair.get("/repo/packages/pine")
    assert answer.status == 403
    assert "deny pine" in answer.headers["X-Hex-Message"]
    assert wire.decode_names(await read(pair, "/repo/names")).packages == ()


async def test_a_cooldown_ends_by_itself(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    pair.hub.clock.ahead = timedelta(days=1)
    await rule(pair, "cooldown", value="7d")
    assert (await pair.get("/repo/packages/pine")).status == 403
    assert (await pair.get("/tarballs/pine-1.0.0.tar")).status == 403
    pair.hub.clock.ahead = timedelta(days=7, minutes=1)
    assert (await pair.get("/repo/packages/pine")).status == 200
    assert (await pair.get("/tarballs/pine-1.0.0.tar")).status == 200


async def test_a_release_that_is_retired_for_security_later_is_refused_though_kept(
    pair: Pair,
) -> None:
    await pair.publish("pine", "1.0.0")
    await rule(pair, "retired")
    assert (await pair.get("/tarballs/pine-1.0.0.tar")).status == 200
    retired = await pair.author.post(
        "/api/packages/pine/releases/1.0.0/retire", {"reason": "security", "message": "a hole"}
    )
    assert retired.status == 204
    pair.hub.clock.ahead = timedelta(minutes=5)
    assert (await pair.get("/tarballs/pine-1.0.0.tar")).status == 403


async def test_an_advisory_that_only_this_hub_was_given_counts_too(pair: Pair) -> None:
    for version in ("1.0.0", "1.1.0"):
        await pair.publish("pine", version)
    await rule(pair, "advisory", value="high")
    for path in ("/repo/packages/pine", "/tarballs/pine-1.0.0.tar", "/tarballs/pine-1.1.0.tar"):
        assert (await pair.get(path)).status == 200
    hub = pair.hub.hub
    events = [{"introduced": "0"}, {"fixed": "1.1.0"}]
    about = {
        "package": {"ecosystem": "Hex", "name": "pine"},
        "ranges": [{"type": "SEMVER", "events": events}],
    }
    told = osv.read(advisory(affected=[about]))
    await hub.store.transact(advisories.put, OPERATOR, [told], hub.now())
    refused = await pair.get("/tarballs/pine-1.0.0.tar")
    assert (refused.status, told.id in refused.headers["X-Hex-Message"]) == (403, True)
    assert (await pair.get("/tarballs/pine-1.1.0.tar")).status == 200
    found = wire.decode_package(await read(pair, "/repo/packages/pine"))
    assert [release.version for release in found.releases] == ["1.1.0"]
    assert (await judging.verdict(hub, "hexpm", "pine", "1.0.0")).refused


async def test_rules_fail_closed_when_nothing_is_known_of_a_release(pair: Pair) -> None:
    await rule(pair, "cooldown", value="7d")
    pair.between.fault = "503"
    answer = await pair.get("/tarballs/pine-1.0.0.tar")
    assert answer.status in (403, 503)


async def test_own_packages_are_not_concerned(pair: Pair) -> None:
    await pair.mara.publish(package("mine"))
    await rule(pair, "deny", "*")
    assert (await pair.get("/repo/tarballs/mine-1.0.0.tar")).status == 200


async def test_a_removed_rule_no_longer_holds(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    await rule(pair, "deny", "pine")
    assert (await pair.get("/repo/packages/pine")).status == 403
    hub = pair.hub.hub
    await hub.store.transact(mirror_rules.remove, OPERATOR, "deny pine", hub.now())
    assert (await pair.get("/repo/packages/pine")).status == 200


async def test_caches_on_the_way_must_ask_again_while_rules_are_on(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    path = "/tarballs/pine-1.0.0.tar"
    assert "max-age=604800" in (await pair.get(path)).headers["Cache-Control"]
    await rule(pair, "deny", "oak")
    assert "must-revalidate" in (await pair.get(path)).headers["Cache-Control"]
