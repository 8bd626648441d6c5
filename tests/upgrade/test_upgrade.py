"""Data of earlier versions is opened, read and written by this one; data of later ones is refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from hexhub.cli import hexhub
from hexhub.schema import schema
from tests.end_to_end.members import Members, start, until
from tests.end_to_end.node import ROOT, RunningNode, run
from tests.hexhub.packages import docs, package
from tests.programs import cannot
from tests.upgrade.write import HERE, PASSPHRASE, SECRET, fill

FORMATS = sorted(int(re.findall(r"\d+", path.name)[0]) for path in HERE.glob("format-*.tar.gz"))


def unpack(archive: Path, folder: Path) -> None:
    """By the program: early releases of Python 3.11 know no filter, later ones want one."""
    folder.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)


def check(node: RunningNode) -> None:
    """Everything that `fill` wrote is there, and more can be written."""
    for version in ("1.0.0", "1.1.0"):
        path = f"/tarballs/decimal-{version}.tar"
        assert node.request("GET", path).body == package("decimal", version)
    assert node.request("GET", "/docs/decimal-1.0.0.tar.gz").body == docs()
    key = node.create_key("mara", "api", name="after")
    reader = node.create_key("mara", "repositories", name="reader")
    inner = node.request("GET", "/repos/acme/tarballs/inner-1.0.0.tar", key=reader)
    assert inner.body == package("inner")
    body = package("decimal", "1.2.0")
    assert node.request("POST", "/api/publish", key=key, body=body).status == 201
    assert node.request("GET", "/health").status == 200


def test_a_store_is_kept_of_the_format_of_today() -> None:
    from cluster.journal import FORMAT

    assert max(FORMATS) >= FORMAT


@pytest.mark.parametrize("number", FORMATS)
def test_a_store_of_an_earlier_format_is_opened(number: int, tmp_path: Path) -> None:
    unpack(HERE / f"format-{number}.tar.gz", tmp_path / "data")
    node = RunningNode(tmp_path, {"SECRET_KEY_BASE": SECRET})
    try:
        assert node.fingerprint() == (HERE / f"fingerprint-{number}").read_text().strip()
        check(node)
    finally:
        assert node.stop() == 0


@pytest.mark.parametrize("number", FORMATS)
def test_a_dry_run_says_what_a_start_would_do_and_does_nothing(number: int, tmp_path: Path) -> None:
    unpack(HERE / f"format-{number}.tar.gz", tmp_path / "data")
    before = {path: path.read_bytes() for path in _files(tmp_path)}
    environ = {"DATA_DIR": str(tmp_path / "data"), "SECRET_KEY_BASE": SECRET}
    said = CliRunner(env=environ).invoke(hexhub, ["serve", "--dry-run"])
    assert said.exit_code == 0, said.output
    assert f"format {number}, schema {min(number, schema.number)}" in said.output
    value = json.loads(
        CliRunner(env=environ).invoke(hexhub, ["serve", "--dry-run", "--json"]).output
    )
    assert value["members"] == ["hex_hub1"]
    assert ("a start changes nothing" in said.output) is not value["changes"]
    assert {path: path.read_bytes() for path in _files(tmp_path)} == before


def _files(folder: Path) -> list[Path]:
    """All but LMDB's table of readers and the lock, which hold no data."""
    return [path for path in folder.rglob("*") if path.is_file() and "lock" not in path.name]


def test_indexes_change_only_with_the_schema_number() -> None:
    """Members of one number write the same index rows: else an older one would leave some out."""
    known = json.loads((HERE / f"indexes-{schema.number}.json").read_text())
    assert {name: schema.shape.get(name) for name in known} == known


@pytest.mark.parametrize("number", FORMATS)
def test_a_backup_of_an_earlier_format_is_restored(number: int, tmp_path: Path) -> None:
    import sys

    (tmp_path / "passphrase").write_text(PASSPHRASE)
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path / "data")}
    backup = str(HERE / f"backup-{number}.tar.gz")
    output = run(
        [
            sys.executable,
            "-m",
            "hexhub",
            "backup",
            "restore",
            backup,
            "--passphrase-file",
            str(tmp_path / "passphrase"),
        ],
        cwd=ROOT,
        environment=environment,
    )
    assert output.code == 0, output
    node = RunningNode(tmp_path, {})
    try:
        assert node.fingerprint() == (HERE / f"fingerprint-{number}").read_text().strip()
        check(node)
    finally:
        assert node.stop() == 0


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The code of the commit in BASE, in a folder of its own."""
    commit = (HERE / "BASE").read_text().strip()
    folder = tmp_path / "base"
    archive = tmp_path / "base.tar"
    done = subprocess.run(
        ["git", "archive", "-o", str(archive), commit], cwd=ROOT, capture_output=True, check=False
    )
    if done.returncode:
        cannot("this clone does not reach back to the commit in tests/upgrade/BASE")
    unpack(archive, folder)
    return folder


@pytest.mark.long
def test_this_version_goes_on_where_the_one_before_ended(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "node"
    folder.mkdir()
    node = RunningNode(folder, {}, base)
    try:
        fill(node)
        fingerprint = node.fingerprint()
    finally:
        assert node.stop() == 0
    node.root = ROOT
    node.restart()
    try:
        assert node.fingerprint() == fingerprint
        check(node)
    finally:
        assert node.stop() == 0


def _publish(node: RunningNode, name: str, key: str) -> None:
    until(lambda: node.publish(package(name), key).status == 201, f"{name} is published")


def _everywhere(members: Members, key: str, written: list[str]) -> None:
    """Publish through each member, and read all that was ever published from each, with a key."""
    for node in members:
        written.append(f"by_{len(written)}")
        _publish(node, written[-1], key)
    for node in members:
        for name in written:
            assert node.request("GET", f"/tarballs/{name}-1.0.0.tar").body == package(name)
            assert node.request("GET", f"/packages/{name}").status == 200
        inner = node.request("GET", "/repos/acme/tarballs/inner-1.0.0.tar", key=key)
        assert inner.body == package("inner")


@pytest.mark.long
def test_a_cluster_is_brought_to_this_version_member_by_member(base: Path, tmp_path: Path) -> None:
    """Both versions together take writes and show them everywhere, whichever of them leads."""
    (tmp_path / "cluster").mkdir()
    members = start(tmp_path / "cluster", 3, root=base)
    written: list[str] = []
    try:
        members.wait_until_healthy()
        leader = members.leader
        fill(leader)
        fingerprint = leader.fingerprint()
        key = leader.create_key("mara", "api", "repositories", name="all")
        _everywhere(members, key, written)
        for node in (*members.others(leader), leader):
            assert node.stop() == 0
            node.root = ROOT
            node.start()
            members.wait_until_healthy()
            _everywhere(members, key, written)
            if node.root != members.leader.root:  # the newer code leads the older, too
                node.command("cluster", "transfer", node.name)
                until(lambda node=node: members.leader is node, "it leads")  # type: ignore[misc]
                _everywhere(members, key, written)
            lost = node.create_key("mara", "api", name=f"lost {node.name}")
            node.command("key", "revoke", f"lost {node.name}", "--user", "mara")
            for each in members:
                assert each.request("GET", "/api/users/me", key=lost).status == 401
        assert {node.fingerprint() for node in members} == {fingerprint}
        check(members.leader)
    finally:
        members.stop()
