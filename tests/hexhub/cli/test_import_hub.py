"""`hexhub import hub`: another hub's packages, checked against its key; a second run goes on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from cluster import Transaction
from hexhub.cli import other_hub
from hexhub.formats import signing_key
from hexhub.repositories import verification
from hexhub.schema import Mail, Owner, Release
from tests.hexhub import faults, hubs
from tests.hexhub.cli.commands import Node, Output, operated
from tests.hexhub.hubs import Person, TestHub
from tests.hexhub.mirrors import mirroring
from tests.hexhub.packages import docs, package

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Two:
    """A hub to import from, one to import into."""

    source: TestHub
    node: Node
    mara: Person
    folder: Path

    async def __call__(self, *more: str, **environ: str) -> tuple[Output, dict[str, Any]]:
        pem = self.folder / "source.pem"
        pem.write_bytes(self.source.hub.public_key_pem)
        arguments = ["import", "hub", self.source.url, "--public-key", str(pem), *more]
        done = await self.node(*arguments, "--user", "zoe", "--json", **environ)
        return done, json.loads(done.out) if done.out.startswith("{") else {}

    def key_file(self, key: str | None) -> tuple[str, str]:
        path = self.folder / "key"
        path.write_text(f"{key}\n")
        return "--key-file", str(path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def two(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Two]:
    tmp_path = tmp_path_factory.mktemp("two")
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(hubs.running(tmp_path / "source"))
        node = await stack.enter_async_context(operated(tmp_path / "here"))
        mara = await source.user("mara")
        for name in ("zoe", "mara", "olga"):
            await node.hub.user(name)
        yield Two(source, node, mara, tmp_path)


def _age(tx: Transaction, package: str, version: str, moment: datetime) -> None:
    release = tx.get(Release, "hexpm", package, version)
    assert release is not None
    tx.put(msgspec.structs.replace(release, created_at=moment))


async def test_names_versions_bytes_owners_retirements_and_docs_come_over(two: Two) -> None:
    bodies = {version: package("decimal", version) for version in ("1.0.0", "1.10.0", "1.9.0-rc.1")}
    for body in (*bodies.values(), package("ecto")):
        assert (await two.mara.publish(body)).status == 201
    for who in ("olga", "pit"):
        await two.source.user(who)
        added = await two.mara.put(
            f"/api/packages/decimal/owners/{who}@example.org", {"level": "maintainer"}
        )
        assert added.status == 204
    await two.mara.post("/api/packages/decimal/releases/1.10.0/docs", data=docs("ten"))
    await two.mara.post(
        "/api/packages/decimal/releases/1.0.0/retire", {"reason": "security", "message": "leaks"}
    )
    long_ago = datetime(2020, 2, 1, 12, 30, tzinfo=UTC)
    await two.source.hub.store.transact(_age, "decimal", "1.0.0", long_ago)
    key = two.key_file(two.mara.authorization)
    only = ("--package", "decimal", "--package", "ecto")

    done, report = await two("--dry-run", *only, *key)
    assert (done.code, report["counts"]["release would be imported"]) == (0, 4)
    assert (await two.node.hub.nobody.get("/api/packages/decimal")).status == 404

    done, report = await two(*only, *key)
    assert done.code == 0, done
    assert report["counts"] == {
        "release imported": 4,
        "docs imported": 1,
        "retirement imported": 1,
        "owner there": 2,
        "owner imported": 1,
        "owners without an account here": 1,
    }
    for version, body in bodies.items():
        got = await two.node.hub.nobody.get(f"/tarballs/decimal-{version}.tar")
        assert got.body == body
    here, there = two.node.hub.hub, two.source.hub
    with here.store.view() as view, there.store.view() as other:
        for version in bodies:
            new, old = (v.get(Release, "hexpm", "decimal", version) for v in (view, other))
            assert new is not None
            assert old is not None
            assert (new.outer_checksum, new.inner_checksum) == (
                old.outer_checksum,
                old.inner_checksum,
            )
            assert (new.retirement, new.docs_checksum) == (old.retirement, old.docs_checksum)
        owners = {row.username: row.level for row in view.scan(Owner, "hexpm", "decimal")}
        oldest = view.get(Release, "hexpm", "decimal", "1.0.0")
        assert oldest is not None
        assert oldest.created_at == long_ago
        # Nobody is told of what is old.
        assert {mail.template for mail in view.scan(Mail)} == {"key_created"}
    assert owners == {"mara": "full", "olga": "maintainer"}

    done, report = await two(*only, *key)
    assert (done.code, report["counts"]["release there"]) == (0, 4)
    assert "release imported" not in report["counts"]
    assert "docs imported" not in report["counts"]


async def test_a_private_organization_comes_with_a_key_and_not_without(two: Two) -> None:
    await two.source.organization("acme", two.mara)
    await two.node.hub.organization("ours", Person(two.node.hub, "zoe", None))
    body = package("secret_sauce")
    assert (await two.mara.publish(body, repository="acme")).status == 201
    await two.mara.post("/api/repos/acme/packages/secret_sauce/releases/1.0.0/docs", data=docs())
    where = ("--organization", "acme", "--repository", "ours")
    done, _ = await two(*where)
    assert done.code == 1
    assert "no such repository, or the key may not read it" in done.err
    done, report = await two(*where, *two.key_file(two.mara.authorization))
    assert (done.code, report["counts"]["release imported"]) == (0, 1), done
    assert two.mara.authorization is not None
    assert two.mara.authorization not in done.out + done.err
    reader = await two.node.hub.key("zoe", "repositories")
    assert (await reader.get("/repos/ours/tarballs/secret_sauce-1.0.0.tar")).body == body
    assert (await reader.get("/repos/ours/docs/secret_sauce-1.0.0.tar.gz")).body == docs()
    assert (await two.node.hub.nobody.get("/tarballs/secret_sauce-1.0.0.tar")).status == 404


async def test_a_registry_that_another_key_signed_brings_nothing(two: Two) -> None:
    await two.mara.publish(package("signed"))
    done = await two.node(
        "import", "hub", two.source.url, "--fingerprint", "SHA256:other", "--user", "zoe"
    )
    assert done.code == 7
    assert two.source.hub.fingerprint in done.err
    pem = two.folder / "another.pem"
    pem.write_bytes(signing_key.public_key_pem(verification.public_key(None)))
    done = await two.node(
        "import", "hub", two.source.url, "--public-key", str(pem), "--user", "zoe"
    )
    assert (done.code, "bad signature" in done.err) == (7, True)
    assert (await two.node.hub.nobody.get("/api/packages/signed")).status == 404


async def test_a_tarball_that_is_not_what_is_signed_is_left_out_and_named(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    for body in (package("changed"), package("same")):
        await two.mara.publish(body)
    real = other_hub.OtherHub.tarball

    async def changed(self: other_hub.OtherHub, name: str, version: str) -> bytes | None:
        body = await real(self, name, version)
        return package(name, text="evil") if name == "changed" else body

    monkeypatch.setattr(other_hub.OtherHub, "tarball", changed)
    done, report = await two("--package", "changed", "--package", "same")
    assert done.code == 10
    assert report["skipped"] == {
        "changed-1.0.0.tar": "does not have the checksum that its registry names"
    }
    assert report["counts"]["release imported"] == 1


async def test_what_was_cut_off_goes_on_where_it_ended(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await two.mara.publish(package("longer", f"1.{number}.0"))
    real, asked = other_hub.OtherHub.tarball, 0

    async def failing(self: other_hub.OtherHub, name: str, version: str) -> bytes | None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise other_hub.Away("the cable is out")
        return await real(self, name, version)

    monkeypatch.setattr(other_hub.OtherHub, "tarball", failing)
    done, report = await two("--package", "longer")
    assert done.code == 10
    assert "the cable is out; run this again" in report["skipped"]["what was left"]
    assert report["counts"]["release imported"] == 2
    done, report = await two("--package", "longer")
    assert done.code == 0
    assert report["counts"]["release there"] == 2
    assert report["counts"]["release imported"] == 3


@pytest.mark.parametrize("fault", ["503", "reset", "truncate"])
async def test_a_server_that_fails_for_a_moment_is_asked_again(
    two: Two, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(other_hub, "WAIT_S", 0.01)
    name = f"shaky_{fault}"
    await two.mara.publish(package(name))
    async with faults.between(two.source.url) as between:
        between.fault, between.times, between.only = fault, 2, "/tarballs/"
        done = await two.node(
            "import",
            "hub",
            between.url,
            "--fingerprint",
            two.source.hub.fingerprint,
            "--user",
            "zoe",
            "--package",
            name,
        )
        assert done.code == 0, done
        assert between.requests[f"/tarballs/{name}-1.0.0.tar"] == 3
    got = await two.node.hub.nobody.get(f"/tarballs/{name}-1.0.0.tar")
    assert got.body == package(name)


async def test_a_hub_that_mirrors_an_upstream_gives_its_own_by_its_shelf(
    two: Two, tmp_path: Path, upstream_keys: tuple[Path, Path]
) -> None:
    async with mirroring(tmp_path, upstream_keys) as pair:
        await pair.publish("moss", "1.0.0")
        assert (await pair.mara.publish(package("our_own"))).status == 201
        arguments = (
            "--fingerprint",
            pair.hub.hub.fingerprint,
            "--user",
            "zoe",
            "--package",
            "our_own",
        )
        # At the root the upstream's bytes are served, which another key signed.
        done = await two.node("import", "hub", pair.hub.url, "--fingerprint", "x", "--user", "zoe")
        assert done.code == 7
        done = await two.node("import", "hub", f"{pair.hub.url}/repo", *arguments, "--json")
    assert done.code == 0, done
    assert json.loads(done.out)["counts"]["release imported"] == 1
    assert (await two.node.hub.nobody.get("/api/packages/moss")).status == 404


async def test_a_key_never_goes_over_the_network_in_clear(two: Two) -> None:
    done = await two.node(
        "import",
        "hub",
        "http://hub.example.org",
        "--fingerprint",
        "SHA256:x",
        *two.key_file("secret"),
        "--user",
        "zoe",
    )
    assert done.code == 2
    assert "in clear" in done.err


async def test_a_key_must_be_named_that_vouches_for_it_all(two: Two) -> None:
    done = await two.node("import", "hub", two.source.url, "--user", "zoe")
    assert done.code == 2
    assert "--fingerprint" in done.err
