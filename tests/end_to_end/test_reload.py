"""A running node takes up changed settings by `hexhub config reload` and by SIGHUP."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.end_to_end.members import until
from tests.end_to_end.node import RunningNode

numbers = count()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    (tmp_path / "hub.toml").write_text('registration = "closed"\n')
    running = RunningNode(tmp_path, {"HEXHUB_CONFIG": str(tmp_path / "hub.toml")})
    yield running
    assert running.stop() == 0


def may_sign_up(node: RunningNode) -> bool:
    name = f"zoe{next(numbers)}"
    body = {"username": name, "email": f"{name}@example.org", "password": "a good password"}
    headers = {"content-type": "application/json"}
    answer = node.request("POST", "/api/users", body=json.dumps(body).encode(), headers=headers)
    return answer.status == 201


def taken_up(node: RunningNode) -> list[list[str]]:
    """What each reload changed, by the log."""
    lines = [line for line in node.log_text().splitlines() if line.startswith("{")]
    events = [json.loads(line) for line in lines]
    return [each["changed"] for each in events if each["event"] == "settings read again"]


def test_a_changed_file_is_taken_up_without_a_restart(node: RunningNode, tmp_path: Path) -> None:
    file = tmp_path / "hub.toml"
    assert not may_sign_up(node)
    file.write_text('registration = "open"\nstorage_type = "hybrid"\ns3_bucket = "b"\n')
    output = node.try_command("config", "reload", "--json")
    assert output.code == 10
    assert json.loads(output.stdout) == {
        "changed": ["REGISTRATION"],
        "needs_restart": ["STORAGE_TYPE", "S3_BUCKET"],
    }
    assert may_sign_up(node)

    file.write_text("registration = 7\n")
    output = node.try_command("config", "reload")
    assert (output.code, "registration" in output.stderr) == (1, True)

    file.write_text('registration = "closed"\n')
    node.process.send_signal(signal.SIGHUP)
    until(lambda: taken_up(node) == [["REGISTRATION"], ["REGISTRATION"]], "the second reload")
    assert not may_sign_up(node)
