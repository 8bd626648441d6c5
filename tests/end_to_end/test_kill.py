"""kill -9 while several publish: what was acknowledged is there, whole, once; the rest is not there at all."""

from __future__ import annotations

import hashlib
import http.client
import threading
import time
from pathlib import Path

import pytest

from tests.end_to_end.node import RunningNode
from tests.end_to_end.packages import tarball
from tests.end_to_end.registry import read_names, read_package

PUBLISHERS = 4


class Publisher(threading.Thread):
    """Publishes one new package after another until the node is gone."""

    def __init__(self, node: RunningNode, key: str, prefix: str) -> None:
        super().__init__()
        self._node = node
        self._key = key
        self._prefix = prefix
        self.acknowledged: dict[str, bytes] = {}
        self.unanswered: dict[str, bytes] = {}

    def run(self) -> None:
        for number in range(10_000):
            name = f"{self._prefix}{number}"
            data = tarball(name, "1.0.0", {"README.md": name.encode() * 50})
            try:
                answer = self._node.publish(data, self._key)
            except (OSError, http.client.HTTPException):
                self.unanswered[name] = data
                return
            assert answer.status == 201, answer
            self.acknowledged[name] = data


def crash_while_publishing(node: RunningNode, key: str, round_: int) -> list[Publisher]:
    """Let several publish at once, kill the node in the midst of it, and start it again."""
    publishers = [Publisher(node, key, f"r{round_}_{index}_") for index in range(PUBLISHERS)]
    for publisher in publishers:
        publisher.start()
    time.sleep(0.15 + 0.11 * (round_ % 7))
    node.kill()
    for publisher in publishers:
        publisher.join()
    node.restart()
    return publishers


def check(node: RunningNode, public_key: str, publishers: list[Publisher]) -> int:
    """How many acknowledged publishes there were, every one of which is there."""
    names = read_names(node.request("GET", "/names").body, public_key)
    assert len(names) == len(set(names))
    for publisher in publishers:
        for name, data in publisher.acknowledged.items():
            assert name in names
            assert_whole(node, public_key, name, data)
        for name, data in publisher.unanswered.items():
            if name in names:
                assert_whole(node, public_key, name, data)
            else:
                assert node.request("GET", f"/packages/{name}").status == 404
                assert node.request("GET", f"/tarballs/{name}-1.0.0.tar").status == 404
    return sum(len(publisher.acknowledged) for publisher in publishers)


def assert_whole(node: RunningNode, public_key: str, name: str, data: bytes) -> None:
    package = read_package(node.request("GET", f"/packages/{name}").body, public_key)
    assert [release.version for release in package.releases] == ["1.0.0"]
    assert package.releases[0].outer_checksum == hashlib.sha256(data).hexdigest()
    assert node.request("GET", f"/tarballs/{name}-1.0.0.tar").body == data


def crash(node: RunningNode, rounds: int) -> None:
    node.create_user("mara")
    key = node.create_key("mara", "api")
    public_key = node.public_key()
    publishers: list[Publisher] = []
    for round_ in range(rounds):
        publishers += crash_while_publishing(node, key, round_)
    assert check(node, public_key, publishers) >= rounds


@pytest.fixture
def doomed(tmp_path: Path) -> RunningNode:
    return RunningNode(tmp_path, {"HEXHUB_LOG_LEVEL": "warning"})


def test_what_was_acknowledged_survives_kill_9(doomed: RunningNode) -> None:
    try:
        crash(doomed, rounds=5)
    finally:
        doomed.stop()


@pytest.mark.long
def test_what_was_acknowledged_survives_kill_9_a_hundred_times(doomed: RunningNode) -> None:
    try:
        crash(doomed, rounds=100)
    finally:
        doomed.stop()
