"""A node as a process: its socket, its files, and what it refuses to start on."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.node import ROOT, RunningNode


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose path is longer than a socket's may be."""
    folder = tmp_path_factory.mktemp("node") / ("a_long_name_" * 6) / ("another_one_" * 6)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def node(folder: Path) -> Iterator[RunningNode]:
    running = RunningNode(folder, {})
    yield running
    assert running.stop() == 0


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_commands_reach_a_node_by_a_path_that_is_too_long_for_a_socket(
    node: RunningNode, folder: Path
) -> None:
    assert len(os.fsencode(folder / "data" / "admin.sock")) > 108
    node.create_user("mara")
    assert "mara" in node.command("user", "list")


def test_secrets_and_the_socket_are_for_their_owner_alone(node: RunningNode, folder: Path) -> None:
    data = folder / "data"
    assert _mode(data) == 0o700
    for name in ("admin.sock", "secret", "first-run"):
        assert _mode(data / name) == 0o600


def test_no_secret_is_in_the_log(node: RunningNode, folder: Path) -> None:
    key = node.create_key("mara", "api")
    assert node.request("GET", "/api/users/me", key=key).status == 200
    assert node.request("GET", f"/api/users/me?token={key}", key=key).status == 200
    token = (folder / "data" / "first-run").read_text().strip().rpartition("=")[2]
    secret = (folder / "data" / "secret").read_text().strip()
    assert node.request("GET", f"/first-run?token={token}").status == 200
    log = node.log_text()
    assert not any(each in log for each in (key, token, secret, "correct horse"))


def _start(node: RunningNode, **changed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hexhub", "serve"],
        cwd=ROOT,
        env=node.environment | changed,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_port_that_is_taken_is_refused(node: RunningNode, tmp_path: Path) -> None:
    second = _start(node, DATA_DIR=str(tmp_path), NODE_NAME="hex_hub2")
    assert second.returncode == 1
    assert f"port {node.port}" in second.stderr
    assert node.request("GET", "/health/live").status == 200


def test_a_directory_that_is_in_use_is_refused(node: RunningNode) -> None:
    second = _start(node, PORT="0", HEXHUB_URL="http://127.0.0.1:1")
    assert second.returncode == 1
    assert "hexhub: " in second.stderr
    assert "Traceback" not in second.stderr + second.stdout
    assert node.request("GET", "/health/ready").status == 200
    assert "mara" in node.command("user", "list")
