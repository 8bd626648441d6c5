"""A disk that is full, or takes no writes any more: reads go on, writes say why, and come back."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import ClusterError, Node, NodeSettings
from cluster.settings import LOOK_SECONDS
from tests.cluster.tables import Note, put, schema
from tests.end_to_end.disks import BreakingDisk, fill, in_memory
from tests.end_to_end.members import start, until
from tests.end_to_end.node import RunningNode
from tests.hexhub.packages import docs, package

NO_ROOM = "no space left to store this"
RESERVE = 64 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with in_memory(tmp_path / "data", 110) as folder:
        yield folder


def message(node: RunningNode, path: str, key: str, body: bytes) -> str:
    """What a refused write is told; it must be a 503 that says when to come again."""
    kind = "application/json" if body[:1] == b"{" else "application/octet-stream"
    answer = node.request("POST", path, key=key, body=body, headers={"content-type": kind})
    assert answer.status == 503, answer
    assert int(answer.headers["retry-after"]) > 0
    return str(answer.json()["message"])


def reads_go_on(node: RunningNode) -> None:
    assert node.request("GET", "/tarballs/one-1.0.0.tar").body == package("one")
    for path in ("/health/live", "/health/read", "/packages/one", "/api/packages/one", "/names"):
        assert node.request("GET", path).status == 200, path


def test_a_full_disk_refuses_writes_and_backups_and_takes_them_again_when_there_is_room(
    tmp_path: Path, small_disk: Path
) -> None:
    node = RunningNode(tmp_path, {})
    try:
        node.create_user("mara")
        key = node.create_key("mara", "api")
        node.must_publish(package("one"), key)
        for leave in (RESERVE - (1 << 20), 0):
            filler = fill(small_disk, leave)
            time.sleep(LOOK_SECONDS)  # what the node saw of the disk before holds no longer
            assert NO_ROOM in message(node, "/api/publish", key, package("two"))
            ready = node.request("GET", "/health/ready")
            assert (ready.status, ready.json()) == (503, {"status": "disk full"})
            health = node.request("GET", "/health").json()
            assert (health["reason"], health["parts"]["tables"]["ok"]) == ("disk full", False)
            reads_go_on(node)
        failed = node.try_command("backup", "create", str(tmp_path / "b"), "--without-secrets")
        assert failed.code == 6
        assert NO_ROOM in failed.stderr
        assert not (tmp_path / "b").exists()
        node.kill()
        node.restart()  # a disk that is full lets a node start all the same
        reads_go_on(node)
        filler.unlink()
        assert node.request("GET", "/health").status == 200
        node.must_publish(package("two"), key)
        node.command("backup", "create", str(tmp_path / "b"), "--without-secrets")
    finally:
        assert node.stop() == 0


async def test_a_disk_that_fills_during_a_snapshot_costs_the_snapshot_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else takes the room after the look at what is free."""
    with in_memory(tmp_path / "data", 32) as disk:
        settings = NodeSettings(name="n1", directory=disk / "node", disk_reserve=0)
        node = await Node.open(settings, schema)
        try:
            for number in range(40):
                note = Note(shelf="large", title=f"{number:03}", text=os.urandom(60_000).hex())
                await node.store.transact(put, note)
            filler = fill(disk, 1 << 20)
            with monkeypatch.context() as patch:
                patch.setattr(NodeSettings, "room", lambda self, size=0: True)
                with pytest.raises(ClusterError, match="could not be written"):
                    await node.snapshot()
            assert not list((disk / "node/snapshots").iterdir())
            with node.store.view() as view:
                assert view.count(Note, "large") == 40
            filler.unlink()
            await node.store.transact(put, Note(shelf="after", title="1"))
            assert (await node.snapshot() / "META").exists()
        finally:
            await node.close()


@pytest.fixture
def breaking_disk(tmp_path: Path) -> Iterator[BreakingDisk]:
    disk = BreakingDisk(tmp_path / "image", tmp_path / "data")
    disk.mount()
    yield disk
    disk.close()


@pytest.mark.long
def test_a_disk_that_became_read_only_serves_reads_until_it_is_mended(
    tmp_path: Path, breaking_disk: BreakingDisk
) -> None:
    node = RunningNode(tmp_path, {})
    try:
        node.create_user("mara")
        key = node.create_key("mara", "api")
        node.must_publish(package("one"), key)
        path = "/api/packages/one/releases/1.0.0/docs"
        assert node.request("POST", path, key=key, body=docs()).status == 201
        assert node.request("GET", "/docs/one/1.0.0/index.html").status == 200
        breaking_disk.fail()
        for _ in range(3):
            assert "read-only" in message(node, "/api/publish", key, package("two"))
        retire = "/api/packages/one/releases/1.0.0/retire"
        assert "read-only" in message(node, retire, key, b'{"reason":"security"}')
        ready = node.request("GET", "/health/ready")
        assert (ready.status, ready.json()) == (503, {"status": "disk read-only"})
        parts = node.request("GET", "/health").json()["parts"]
        assert not parts["tables"]["ok"]
        assert not parts["storage"]["writable"]
        reads_go_on(node)
        assert node.request("GET", "/docs/one/1.0.0/index.html").status == 200
        failed = node.try_command("backup", "create", str(tmp_path / "b"), "--without-secrets")
        assert "read-only" in failed.stderr
        until(lambda: "is read-only" in node.log_text(), "the log says so")  # a count was written
        reads_go_on(node)
        assert node.process.poll() is None
    finally:
        assert node.stop() == 0, node.log_text()[-3000:]
    with pytest.raises(AssertionError, match="Read-only file system"):
        node.restart()
    breaking_disk.mend()
    node.restart()
    try:
        reads_go_on(node)
        node.must_publish(package("two"), key)
    finally:
        assert node.stop() == 0


@pytest.mark.long
def test_a_member_with_a_read_only_disk_serves_reads_while_the_others_take_writes(
    tmp_path: Path,
) -> None:
    disk = BreakingDisk(tmp_path / "image", tmp_path / "disk")
    disk.mount()
    (tmp_path / "cluster").mkdir()
    members = start(tmp_path / "cluster", 3, own={"hub1": {"DATA_DIR": str(disk.folder / "data")}})
    try:
        members.wait_until_healthy()
        broken, *others = members.nodes
        others[0].create_user("mara")
        key = others[0].create_key("mara", "api")
        others[0].must_publish(package("one"), key)
        until(lambda: broken.request("GET", "/tarballs/one-1.0.0.tar").status == 200, "shown")
        disk.fail()
        until(lambda: members.leader is not broken, "another leads")
        for number, each in enumerate(others):
            until(
                lambda each=each, number=number: (  # type: ignore[misc]
                    each.publish(package(f"after{number}"), key).status == 201
                ),
                "a write",
            )
        assert broken.request("GET", "/health/ready").json() == {"status": "disk read-only"}
        assert broken.request("GET", "/tarballs/one-1.0.0.tar").body == package("one")
        assert "nothing was changed" in message(broken, "/api/publish", key, package("nope"))
        assert broken.stop() == 0
        disk.mend()
        broken.start()
        members.wait_until_healthy()
        until(
            lambda: broken.request("GET", "/tarballs/after1-1.0.0.tar").status == 200, "caught up"
        )
    finally:
        members.stop()
        disk.close()
