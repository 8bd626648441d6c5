"""Advisories, as clients see them: in the API and in the signed registry."""

from __future__ import annotations

from typing import Any

from hexhub.domain import advisories
from hexhub.domain.audit import OPERATOR
from hexhub.formats import osv, registry
from tests.end_to_end.packages import tarball
from tests.hexhub.formats.test_osv import advisory
from tests.hexhub.hubs import Person, TestHub
from tests.hexhub.registry import registry_package, versions


async def put(hub: TestHub, *values: dict[str, Any]) -> list[str]:
    entries = [osv.read(value) for value in values]
    return await hub.hub.store.transact(advisories.put, OPERATOR, entries, hub.hub.now())


async def publish(who: Person, *versions: str) -> None:
    for version in versions:
        tar = tarball("acorn", version, {"src/a.erl": b"-module(a).\n"})
        assert (await who.publish(tar)).status == 201


async def test_the_registry_tells_which_releases_are_affected(hub: TestHub, mara: Person) -> None:
    await publish(mara, "1.0.0", "1.2.0", "2.0.0-rc.1")
    assert (await registry_package(hub, "acorn")).advisories == ()

    assert await put(hub, advisory()) == ["EEF-CVE-2026-0001"]

    package = await registry_package(hub, "acorn")
    (entry,) = package.advisories
    assert entry.id == "EEF-CVE-2026-0001"
    assert entry.severity == registry.Severity.HIGH
    assert entry.cvss_score == 7.5
    assert entry.html_url == "https://osv.dev/vulnerability/EEF-CVE-2026-0001"
    indexes = {each.version: each.advisory_indexes for each in package.releases}
    assert indexes == {"1.0.0": (0,), "1.2.0": (), "2.0.0-rc.1": (0,)}
    listed = (await versions(hub))["acorn"]
    assert [listed.versions[i] for i in listed.with_advisories] == ["1.0.0", "2.0.0-rc.1"]


async def test_the_api_shows_them_with_package_and_release(hub: TestHub, mara: Person) -> None:
    await publish(mara, "1.0.0", "1.2.0")
    assert (await hub.nobody.get("/api/packages/acorn")).value["security_advisories"] == []
    await put(hub, advisory(), advisory(id="GHSA-2", published="2026-01-09T00:00:00Z"))

    package = (await hub.nobody.get("/api/packages/acorn")).value
    affected = (await hub.nobody.get("/api/packages/acorn/releases/1.0.0")).value
    fixed = (await hub.nobody.get("/api/packages/acorn/releases/1.2.0")).value

    newest, oldest = package["security_advisories"]
    assert (newest["id"], oldest["id"]) == ("GHSA-2", "EEF-CVE-2026-0001")
    assert oldest["affected"] == ["< 1.2.0"]
    assert oldest["published_at"] == "2026-01-02T03:04:05Z"
    assert oldest["cvss_rating"] == "high"
    assert oldest["references"] == [{"type": "WEB", "url": "https://example.org/a"}]
    assert oldest["api_url"] == "https://api.osv.dev/v1/vulns/EEF-CVE-2026-0001"
    assert len(affected["security_advisories"]) == 2
    assert fixed["security_advisories"] == []


async def test_a_withdrawn_advisory_is_gone(hub: TestHub, mara: Person) -> None:
    await publish(mara, "1.0.0")
    await put(hub, advisory())
    assert await put(hub, advisory()) == [], "nothing is new the second time"

    await put(hub, advisory(withdrawn="2026-03-01T00:00:00Z"))

    assert (await registry_package(hub, "acorn")).advisories == ()
    assert (await hub.nobody.get("/api/packages/acorn")).value["security_advisories"] == []


async def test_a_later_release_is_judged_as_well(hub: TestHub, mara: Person) -> None:
    await put(hub, advisory())
    await publish(mara, "1.1.9", "1.2.0")

    package = await registry_package(hub, "acorn")
    assert [each.advisory_indexes for each in package.releases] == [(0,), ()]
