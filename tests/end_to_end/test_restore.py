"""Backups of real nodes and clusters, brought back elsewhere; restores that are killed."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hexhub.backup import read
from tests.end_to_end.members import SECRET, start, until
from tests.end_to_end.node import ROOT, Output, RunningNode, run
from tests.end_to_end.packages import tarball
from tests.hexhub.packages import docs, package
from tests.hexhub.storage import buckets
from tests.ports import free_ports

OTHER_SECRET = "another secret, of the hub that the backup comes to"
NAMES = [f"package_{number}" for number in range(6)]


@pytest.fixture
def phrase(tmp_path: Path) -> Path:
    file = tmp_path / "passphrase"
    file.write_text("correct horse battery\n")
    return file


def offline(data: Path, *arguments: str, **settings: str) -> Output:
    """Run `hexhub ARGUMENTS` where no node runs."""
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(data), **settings}
    command = [sys.executable, "-m", "hexhub", *arguments]
    return run(command, cwd=ROOT, environment=environment, timeout_s=120)


def restore(backup: Path, phrase: Path, data: Path, **settings: str) -> None:
    done = offline(
        data, "backup", "restore", str(backup), "--passphrase-file", str(phrase), **settings
    )
    assert done.code == 0, done


def fill(node: RunningNode) -> str:
    """Packages, docs, a private one, people; the key that may read and write all of it."""
    node.create_user("mara")
    node.create_organization("acme", "mara")
    key = node.create_key("mara", "api", "repositories")
    for name in NAMES:
        node.must_publish(package(name), key)
    node.must_publish(package("inner"), key, "acme")
    path = f"/api/packages/{NAMES[0]}/releases/1.0.0/docs"
    assert node.request("POST", path, key=key, body=docs()).status == 201
    return key


def check(node: RunningNode, key: str, fingerprint: str) -> None:
    """All that `fill` made is there byte for byte, the old key opens it, and more can be written."""
    assert node.fingerprint() == fingerprint
    for name in NAMES:
        assert node.request("GET", f"/tarballs/{name}-1.0.0.tar").body == package(name)
    inner = node.request("GET", "/repos/acme/tarballs/inner-1.0.0.tar", key=key)
    assert inner.body == package("inner")
    assert node.request("GET", f"/docs/{NAMES[0]}-1.0.0.tar.gz").body == docs()
    assert node.request("GET", "/api/users/me", key=key).json()["username"] == "mara"
    after = package(f"after_{time.monotonic_ns()}")
    until(lambda: node.publish(after, key).status == 201, "a write")


@pytest.mark.long
def test_a_running_cluster_comes_back_as_one_node_and_as_a_new_cluster(
    tmp_path: Path, phrase: Path
) -> None:
    (tmp_path / "old").mkdir()
    members = start(tmp_path / "old", 3)
    backup = tmp_path / "hub.tar.gz"
    try:
        members.wait_until_healthy()
        leader = members.leader
        key = fill(leader)
        fingerprint = leader.fingerprint()
        follower = members.others(leader)[0]
        with ThreadPoolExecutor(1) as threads:  # people publish meanwhile
            busy = threads.submit(
                lambda: [leader.publish(package(f"busy_{n}"), key).status for n in range(20)]
            )
            follower.command("backup", "create", str(backup), "--passphrase-file", str(phrase))
            assert busy.result(60) == [201] * 20
        until(lambda: follower.state().get("blobs_behind") == 0, "all objects")
    finally:
        members.stop()
    alone = tmp_path / "alone"
    alone.mkdir()
    restore(backup, phrase, alone / "data")
    node = RunningNode(alone, {})
    try:
        check(node, key, fingerprint)
    finally:
        assert node.stop() == 0
    # A new cluster, under another secret: one is restored, the others are fresh and join it.
    first = tmp_path / "first" / "data"
    restore(backup, phrase, first, SECRET_KEY_BASE=OTHER_SECRET, NODE_NAME="hub1")
    (tmp_path / "new").mkdir()
    own = {"hub1": {"DATA_DIR": str(first)}}
    again = start(tmp_path / "new", 3, own=own, SECRET_KEY_BASE=OTHER_SECRET)
    try:
        again.wait_until_healthy()
        for each in again:
            until(lambda each=each: each.state().get("blobs_behind") == 0, "objects")  # type: ignore[misc]
            check(each, key, fingerprint)
    finally:
        again.stop()
    assert SECRET != OTHER_SECRET


@pytest.mark.long
def test_a_cluster_gets_another_secret_and_no_client_needs_another_key(tmp_path: Path) -> None:
    """As the page says: rotate, stop all, start all with the new one."""
    (tmp_path / "cluster").mkdir()
    members = start(tmp_path / "cluster", 3)
    new = tmp_path / "secret"
    new.write_text(OTHER_SECRET)
    try:
        members.wait_until_healthy()
        key = fill(members.leader)
        fingerprint = members.leader.fingerprint()
        said = members.leader.command("secret", "rotate", "--to-file", str(new), "--yes")
        assert "restart every node" in said
        check(members.nodes[0], key, fingerprint)  # until then they go on with the old one
        assert members.stop() == [0, 0, 0]
        refused = members.nodes[0].try_command("serve")
        assert refused.code == 1, refused
        assert "secret" in refused.stderr.lower()
        for node in members:
            node.environment["SECRET_KEY_BASE"] = OTHER_SECRET
        with ThreadPoolExecutor(3) as threads:
            list(threads.map(lambda node: node.start(), members.nodes))
        members.wait_until_healthy()
        for node in members:
            check(node, key, fingerprint)
    finally:
        members.stop()


@pytest.fixture
def bucket() -> Iterator[Mapping[str, str]]:
    """The settings of a node that keeps its objects in a bucket."""
    with buckets.server() as server:
        made = asyncio.run(buckets.make_bucket(server))
        host, _, port = server.removeprefix("http://").partition(":")
        yield {
            "STORAGE_TYPE": "s3",
            "S3_BUCKET": made.name,
            "AWS_S3_HOST": host,
            "AWS_S3_PORT": port,
            "AWS_S3_SCHEME": "http",
            "AWS_S3_PATH_STYLE": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": buckets.KEYS["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": buckets.KEYS["secret_access_key"],
        }


@pytest.mark.long
def test_a_backup_goes_from_a_disk_to_a_bucket_and_back(
    tmp_path: Path, phrase: Path, bucket: Mapping[str, str]
) -> None:
    backups = [tmp_path / "of-disk.tar.gz", tmp_path / "of-bucket.tar.gz"]
    for folder in ("disk", "bucket", "back"):
        (tmp_path / folder).mkdir()
    node = RunningNode(tmp_path / "disk", {})
    try:
        key = fill(node)
        fingerprint = node.fingerprint()
        node.command("backup", "create", str(backups[0]), "--passphrase-file", str(phrase))
    finally:
        assert node.stop() == 0
    restore(backups[0], phrase, tmp_path / "bucket/data", **bucket)
    assert not list((tmp_path / "bucket/data").glob("storage/??/*"))
    node = RunningNode(tmp_path / "bucket", bucket)
    try:
        check(node, key, fingerprint)
        node.command("backup", "create", str(backups[1]), "--passphrase-file", str(phrase))
    finally:
        assert node.stop() == 0
    restore(backups[1], phrase, tmp_path / "back/data")
    node = RunningNode(tmp_path / "back", {})
    try:
        check(node, key, fingerprint)
    finally:
        assert node.stop() == 0


def test_scheduled_backups_are_made_by_a_running_node_and_the_oldest_go(
    tmp_path: Path, phrase: Path
) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    old = [folder / f"hexhub-2026010{day}T000000Z.tar.gz" for day in (1, 2)]
    for path in old:
        path.write_text("of a while ago")
    settings = {
        "HEXHUB_BACKUP_DIR": str(folder),
        "HEXHUB_BACKUP_KEEP": "2",
        "HEXHUB_BACKUP_PASSPHRASE_FILE": str(phrase),
    }
    node = RunningNode(tmp_path, settings)
    try:
        until(lambda: not old[0].exists(), "a backup in the place of the oldest")
        (made,) = set(folder.iterdir()) - {old[1]}
        header, wrapped = read.beginning(made)
        root = read.root_of(header, wrapped, phrase.read_text().strip())
        assert root is not None
        read.prove(header, root)
        assert read.verify(made).header.fingerprint == node.fingerprint()
        metrics = node.request("GET", "/metrics").body.decode()
        assert "hexhub_backup_last_success_timestamp_seconds" in metrics
    finally:
        assert node.stop() == 0


@pytest.mark.long
def test_a_restore_that_is_killed_at_any_moment_is_refused_or_whole(
    tmp_path: Path, phrase: Path
) -> None:
    """Killed after 0, 0.1, 0.2, … seconds of writing, until one comes to its end."""
    (tmp_path / "old").mkdir()
    node = RunningNode(tmp_path / "old", {"RATE_LIMITS": "false"})
    backup = tmp_path / "hub.tar.gz"
    try:
        key = fill(node)
        for number in range(30):
            content = {"mix.exs": b"# mix", "data": os.urandom(2 << 20)}
            node.must_publish(tarball(f"large_{number}", "1.0.0", content), key)
        fingerprint = node.fingerprint()
        node.command("backup", "create", str(backup), "--passphrase-file", str(phrase))
    finally:
        assert node.stop() == 0
    folder = tmp_path / "new"
    folder.mkdir()
    data = folder / "data"
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(data)}
    command = [sys.executable, "-m", "hexhub", "backup", "restore", str(backup)]
    command += ["--passphrase-file", str(phrase)]
    seen = set()
    for tenths in range(600):
        shutil.rmtree(data, ignore_errors=True)
        restoring = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        until(lambda: (data / "restoring").exists() or restoring.poll() is not None, "begun")  # noqa: B023
        with_luck = time.monotonic() + tenths / 10
        while restoring.poll() is None and time.monotonic() < with_luck:
            time.sleep(0.005)
        restoring.send_signal(signal.SIGKILL)
        restoring.communicate()
        if restoring.returncode == 0:
            seen.add("ended")
            break
        if (data / "cluster").exists():
            seen.add("whole")
            continue
        seen.add("cut off")
        refused = offline(data, "serve", PORT=str(free_ports(1)[0]))
        assert refused.code == 1, refused
        assert "was cut off: run `hexhub backup restore` again" in refused.stderr
        assert not (data / "cluster").exists()
        if tenths % 5 == 0:  # over what the last one left
            restore(backup, phrase, data)
            assert (data / "cluster").exists()
    assert {"cut off", "ended"} <= seen
    node = RunningNode(folder, {})
    try:
        check(node, key, fingerprint)
        assert node.request("GET", "/tarballs/large_29-1.0.0.tar").status == 200
    finally:
        assert node.stop() == 0
