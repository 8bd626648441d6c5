"""A real node of several processes: one port, one log, one end."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.node import RunningNode
from tests.end_to_end.packages import tarball

pytestmark = pytest.mark.long

WAIT_S = 20.0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    """A node of three processes with one package."""
    node = RunningNode(tmp_path, {"WORKERS": "3", "LOG_FORMAT": "json"})
    node.create_user("mara")
    key = node.create_key("mara", "api")
    node.must_publish(tarball("acorn", "1.0.0", {"a": b"x"}), key)
    yield node
    node.kill()


def children(node: RunningNode) -> set[int]:
    """The readers of a node."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            stat = (path.parent / "stat").read_text().rpartition(")")[2].split()
            if b"hexhub.readers.process" in path.read_bytes() and int(stat[1]) == node.process.pid:
                found.add(int(path.parent.name))
        except OSError:
            continue
    return found


def gone(pids: set[int]) -> bool:
    """Whether none of these processes runs any more, within reason."""
    deadline = time.monotonic() + WAIT_S
    while any(Path(f"/proc/{pid}/cmdline").exists() and _runs(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def hold(node: RunningNode, connections: int) -> list[http.client.HTTPConnection]:
    """Open connections that have each been answered a few times."""
    held = [
        http.client.HTTPConnection("127.0.0.1", node.port, timeout=30) for _ in range(connections)
    ]
    for _ in range(4):
        for each in held:
            ask(each)
    return held


def ask(connection: http.client.HTTPConnection) -> str:
    """The request id of an answer that was good."""
    connection.request("GET", "/packages/acorn")
    response = connection.getresponse()
    response.read()
    assert response.status == 200
    return response.headers["x-request-id"]


def test_all_processes_answer_log_and_are_reloaded(node: RunningNode) -> None:
    held = hold(node, 40)
    ids = {ask(each) for each in held for _ in range(5)}
    text = node.request("GET", "/metrics").body.decode()
    assert "hexhub_readers 2.0" in text
    kind = '{method="GET",route="/packages/{name}",status="200"}'
    assert f"hexhub_http_requests_total{kind} {40 * 9}.0" in text
    before = children(node)
    assert len(before) == 2
    os.kill(node.process.pid, signal.SIGHUP)
    assert gone(before)
    for each in held:  # none of them was lost
        ids.add(ask(each))
        each.close()
    lines = [json.loads(line) for line in node.log_text().splitlines() if line.startswith("{")]
    assert ids <= {line.get("request_id") for line in lines}
    assert not [line for line in lines if line["level"] in ("warning", "error")]


def test_a_signal_ends_all_processes(node: RunningNode) -> None:
    held = hold(node, 10)
    readers = children(node)
    assert node.stop() == 0
    assert gone(readers)
    for each in held:
        each.close()


def test_readers_do_not_outlive_a_crash(node: RunningNode) -> None:
    readers = children(node)
    assert len(readers) == 2
    node.kill()
    assert gone(readers)
    node.restart()
    assert node.request("GET", "/packages/acorn").status == 200
    assert "Traceback" not in node.log_text()
