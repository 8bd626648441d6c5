"""`hexhub import`: everything arrives byte for byte, what is wrong is named, a second run adds nothing."""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hexhub.formats import envelope, registry, signing_key
from hexhub.formats.registry_values import (
    RegistryPackage,
    RegistryRelease,
    Retired,
    RetirementReason,
)
from hexhub.formats.tarball import read
from tests.end_to_end.node import ROOT, RunningNode, run
from tests.hexhub.hubs import SIGNING_KEY
from tests.hexhub.packages import docs, package


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    running = RunningNode(tmp_path, {})
    running.create_user("mara")
    yield running
    running.stop()


def reported(node: RunningNode, *arguments: str) -> tuple[int, dict[str, Any]]:
    output = node.try_command("import", *arguments, "--user", "mara", "--json")
    assert output.stdout, output
    return output.code, json.loads(output.stdout)


def static_registry(folder: Path, bodies: dict[str, bytes]) -> Path:
    key = signing_key.load_private_key(SIGNING_KEY.read_bytes())
    (folder / "tarballs").mkdir(parents=True)
    (folder / "packages").mkdir()
    (folder / "public_key").write_bytes(signing_key.public_key_pem(key))
    releases = []
    for version, body in bodies.items():
        (folder / f"tarballs/decimal-{version}.tar").write_bytes(body)
        tarball = read(body)
        retired = Retired(RetirementReason.SECURITY, "do not use") if version == "1.0.0" else None
        releases.append(
            RegistryRelease(
                version=version,
                inner_checksum=tarball.inner_checksum,
                outer_checksum=tarball.outer_checksum,
                dependencies=(),
                retired=retired,
            )
        )
    described = RegistryPackage(repository="acme", name="decimal", releases=tuple(releases))
    body = envelope.seal(registry.encode_package(described), key)
    (folder / "packages/decimal").write_bytes(body)
    return folder


def test_a_static_registry_comes_over_with_its_retirements(
    node: RunningNode, tmp_path: Path
) -> None:
    bodies = {version: package("decimal", version) for version in ("1.0.0", "1.10.0", "1.9.0")}
    folder = static_registry(tmp_path / "public", bodies)
    code, report = reported(node, "static", str(folder), "--dry-run")
    assert (code, report["counts"]["release would be imported"]) == (0, 3)
    assert node.request("GET", "/api/packages/decimal").status == 404
    code, report = reported(node, "static", str(folder))
    assert code == 0, report
    assert report["counts"] == {"release imported": 3, "retirement imported": 1}
    for version, body in bodies.items():
        assert node.request("GET", f"/tarballs/decimal-{version}.tar").body == body
    shown = node.request("GET", "/api/packages/decimal/releases/1.0.0").json()
    assert shown["retirement"] == {"reason": "security", "message": "do not use"}
    code, report = reported(node, "static", str(folder))
    assert report["counts"]["release there"] == 3


def test_tarballs_that_are_not_what_the_registry_says_are_left_out(
    node: RunningNode, tmp_path: Path
) -> None:
    bodies = {"1.0.0": package("decimal", "1.0.0"), "1.1.0": package("decimal", "1.1.0")}
    folder = static_registry(tmp_path / "public", bodies)
    (folder / "tarballs/decimal-1.1.0.tar").write_bytes(package("decimal", "1.1.0", "other"))
    (folder / "tarballs/stray-1.0.0.tar").write_bytes(package("stray"))
    code, report = reported(node, "static", str(folder))
    assert code == 10
    assert set(report["skipped"]) == {"decimal-1.1.0.tar", "stray-1.0.0.tar"}
    assert report["counts"]["release imported"] == 1
    (folder / "packages/decimal").write_bytes(b"unsigned")
    code, report = reported(node, "static", str(folder))
    assert "packages/decimal" in report["skipped"]


def phoenix_backup(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return path


def test_a_phoenix_backup_comes_over_with_users_owners_and_docs(
    node: RunningNode, tmp_path: Path
) -> None:
    body = package("decimal")
    users = [
        {"username": name, "email": f"{name}@example.org", "password_hash": "$2b$…"}
        for name in ("nils", "olga", "mara")
    ]
    owners = [
        {"package_name": "decimal", "username": "nils", "level": "full"},
        {"package_name": "decimal", "username": "olga", "level": "maintainer"},
    ]
    releases = [
        {
            "package_name": "decimal",
            "version": "1.0.0",
            "has_docs": True,
            "retired": {"reason": "renamed", "message": "now called number"},
        }
    ]
    path = phoenix_backup(
        tmp_path / "backup.tar",
        {
            "manifest.json": b"{}",
            "users.json": json.dumps(users).encode(),
            "owners.json": json.dumps(owners).encode(),
            "releases.json": json.dumps(releases).encode(),
            "packages/metadata.json": b"[]",
            "packages/decimal-1.0.0.tar.gz": body,
            "docs/decimal-1.0.0.tar.gz": docs(),
        },
    )
    code, report = reported(node, "phoenix", str(path), "--dry-run")
    assert report["counts"]["users would be imported"] == 2
    code, report = reported(node, "phoenix", str(path))
    assert code == 0, report
    assert report["counts"]["users imported"] == 2
    assert node.request("GET", "/tarballs/decimal-1.0.0.tar").body == body
    assert node.request("GET", "/docs/decimal-1.0.0.tar.gz").body == docs()
    shown = node.request("GET", "/api/packages/decimal/releases/1.0.0").json()
    assert shown["retirement"]["reason"] == "renamed"
    key = node.create_key("mara", "api")
    listed = node.request("GET", "/api/packages/decimal/owners", key=key).json()
    assert {each["username"]: each["level"] for each in listed} == {
        "nils": "full",
        "olga": "maintainer",
    }
    code, report = reported(node, "phoenix", str(path))
    assert (code, report["counts"]["release there"]) == (0, 1)


@pytest.mark.parametrize("files", [{}, {"manifest.json": b"{}", "users.json": b"{"}])
def test_what_is_no_such_backup_is_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    path = phoenix_backup(tmp_path / "backup.tar", files)
    output = run(
        [sys.executable, "-m", "hexhub", "import", "phoenix", str(path), "--user", "mara"],
        cwd=ROOT,
        environment={"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path / "data")},
    )
    assert output.code == 7, output
