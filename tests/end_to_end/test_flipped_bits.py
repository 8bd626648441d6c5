"""An object with a flipped bit: seen when it is read, replaced from a peer or the bucket, counted."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.members import start, until
from tests.end_to_end.node import ROOT, RunningNode
from tests.end_to_end.test_restore import bucket as bucket
from tests.hexhub.packages import package


def stored(data: str, content: bytes) -> Path:
    """The file of an object."""
    name = hashlib.sha256(content).hexdigest()
    return Path(data) / "storage" / name[:2] / name


def flip(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 4
    path.write_bytes(body)


def counted(node: RunningNode, name: str) -> int:
    text = node.request("GET", "/metrics").body.decode()
    (value,) = re.findall(rf"^{name} (\S+)$", text, flags=re.M)
    return int(float(value))


@pytest.mark.long
def test_a_member_repairs_it_from_a_peer(tmp_path: Path) -> None:
    (tmp_path / "cluster").mkdir()
    members = start(tmp_path / "cluster", 3)
    try:
        members.wait_until_healthy()
        first = members.nodes[0]
        first.create_user("mara")
        first.must_publish(package("one"), first.create_key("mara", "api"))
        victim = members.nodes[2]
        path = stored(victim.environment["DATA_DIR"], package("one"))
        until(path.exists, "the object is everywhere")
        assert victim.stop() == 0
        flip(path)
        victim.start()
        members.wait_until_healthy()
        for _ in range(2):
            answer = victim.request("GET", "/tarballs/one-1.0.0.tar")
            assert (answer.status, answer.body) == (200, package("one"))
        assert path.read_bytes() == package("one")
        assert counted(victim, "hexhub_storage_repaired_total") == 1
        assert counted(victim, "hexhub_storage_damaged") == 0
        assert victim.request("GET", "/health").json()["parts"]["storage"]["ok"]
    finally:
        members.stop()


@pytest.mark.long
def test_a_node_repairs_its_copy_from_the_bucket(tmp_path: Path, bucket: dict[str, str]) -> None:
    node = RunningNode(tmp_path, {**bucket, "STORAGE_TYPE": "hybrid"})
    try:
        node.create_user("mara")
        node.must_publish(package("one"), node.create_key("mara", "api"))
        assert node.stop() == 0
        path = stored(node.environment["DATA_DIR"], package("one"))
        flip(path)
        node.restart()
        assert node.request("GET", "/tarballs/one-1.0.0.tar").body == package("one")
        assert path.read_bytes() == package("one")
        assert counted(node, "hexhub_storage_repaired_total") == 1
    finally:
        node.stop()


@pytest.mark.long
def test_a_lone_node_serves_none_of_it_and_says_so_until_it_is_put_back_from_a_backup(
    tmp_path: Path,
) -> None:
    node = RunningNode(tmp_path, {})
    try:
        node.create_user("mara")
        key = node.create_key("mara", "api")
        node.must_publish(package("one"), key)
        backup = tmp_path / "hub.tar.gz"
        node.command("backup", "create", str(backup), "--without-secrets")
        assert node.stop() == 0
        path = stored(node.environment["DATA_DIR"], package("one"))
        flip(path)
        node.restart()
        answer = node.request("GET", "/tarballs/one-1.0.0.tar")
        assert answer.status == 503
        assert counted(node, "hexhub_storage_damaged") == 1
        health = node.request("GET", "/health").json()
        assert not health["parts"]["storage"]["ok"]
        assert health["parts"]["storage"]["damaged"] == 1
        page = (ROOT / "docs/operations/storage.md").read_text()
        (line,) = re.findall(r"^tar xOzf .+$", page, flags=re.M)
        line = line.replace("/backup/hub.tar.gz", str(backup))
        line = line.replace("/var/lib/hexhub", node.environment["DATA_DIR"])
        line = line.replace("CHECKSUM", path.name).replace("/CH/", f"/{path.parent.name}/")
        subprocess.run(["bash", "-c", line], check=True)
        assert node.request("GET", "/tarballs/one-1.0.0.tar").body == package("one")
        assert node.request("GET", "/health").json()["parts"]["storage"]["ok"]
        assert counted(node, "hexhub_storage_repaired_total") == 1
    finally:
        node.stop()
