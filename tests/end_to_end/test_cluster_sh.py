"""cluster.sh over real nodes of a checkout, word for word as its help and the README have it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.members import until
from tests.end_to_end.node import PASSWORD, ROOT
from tests.ports import free_ports

pytestmark = pytest.mark.long

NAMES = ("hex_hub1", "hex_hub2", "hex_hub3")
COMMAND_S = 120.0


@dataclass(frozen=True)
class Checkout:
    """A copy of this one, installed already, and a port for each of three nodes."""

    root: Path
    ports: dict[str, str]

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`./scripts/cluster.sh ARGUMENTS`."""
        return self._command(["./scripts/cluster.sh", *arguments], "", environment)

    def of(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`PORT=… NODE_NAME=name ./scripts/cluster.sh ARGUMENTS`."""
        return self.run(*arguments, PORT=self.ports[name], NODE_NAME=name)

    def hexhub(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`hexhub ARGUMENTS` for one of the nodes."""
        command = [str(self.root / ".venv" / "bin" / "hexhub"), *arguments]
        return self._command(command, PASSWORD + "\n", {"NODE_NAME": name})

    def status(self) -> dict[str, Any]:
        """What `status --json` says of each node that runs."""
        return {node["name"]: node for node in json.loads(self.run("status", "--json").stdout)}

    def start(self, name: str, **environment: str) -> None:
        self.must(
            self.run("start", "--detach", PORT=self.ports[name], NODE_NAME=name, **environment)
        )

    def must(self, done: subprocess.CompletedProcess[str]) -> str:
        assert done.returncode == 0, done
        return done.stdout

    def _command(
        self, command: list[str], stdin: str, environment: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        own = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "UPSTREAM_ENABLED": "false",
            **environment,
        }
        return subprocess.run(
            command,
            cwd=self.root,
            env=own,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )


def script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/bash\n{line}\n")
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    root = tmp_path / "hub"
    for part in ("cluster", "hexhub", "scripts"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, root / part, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", root)
    (root / ".venv" / "bin").mkdir(parents=True)
    python = f"exec {sys.executable}"
    script(root / ".venv" / "bin" / "python", f'{python} "$@"')
    script(root / ".venv" / "bin" / "hexhub", f'cd {root} && {python} -m hexhub "$@"')
    stamp = f"{root}\n{(root / 'pyproject.toml').read_text()}"
    (root / ".venv" / ".installed").write_text(stamp)
    made = Checkout(root, dict(zip(NAMES, map(str, free_ports(3)), strict=True)))
    yield made
    made.must(made.run("stop", "--all"))


def members(checkout: Checkout) -> dict[str, int]:
    return {name: len(node.get("members", [])) for name, node in checkout.status().items()}


def test_three_terminals_become_a_cluster_and_part_again(checkout: Checkout) -> None:
    assert checkout.run("status").returncode == 3
    for name in NAMES:
        checkout.start(name)
    assert checkout.run("status").returncode == 0
    assert members(checkout) == dict.fromkeys(NAMES, 1)

    joined = checkout.of("hex_hub2", "join", "hex_hub1@127.0.0.1")
    assert checkout.must(joined) == "hex_hub2 joined hex_hub1\n"
    rest = checkout.must(checkout.run("join", "hex_hub1@127.0.0.1"))
    assert rest.splitlines() == [
        "hex_hub2 is a member of the cluster of hex_hub1",
        "hex_hub3 joined hex_hub1",
    ]
    until(lambda: members(checkout) == dict.fromkeys(NAMES, 3), "all know all")
    shown = checkout.run("status")
    assert shown.returncode == 0
    assert sorted(line.split()[2] for line in shown.stdout.splitlines()) == [
        "follower",
        "follower",
        "leader",
    ]

    add = ("user", "create", "nora", "--email", "nora@example.org", "--password-stdin")
    checkout.must(checkout.hexhub("hex_hub3", *add))
    left = checkout.must(checkout.run("leave", NODE_NAME="hex_hub3"))
    assert left == "hex_hub3 left its cluster\n"
    until(lambda: members(checkout) == {**dict.fromkeys(NAMES, 2), "hex_hub3": 1}, "it is out")
    other = ("user", "create", "olga", "--email", "olga@example.org", "--password-stdin")
    checkout.must(checkout.hexhub("hex_hub3", *other))
    refused = checkout.of("hex_hub3", "join", "hex_hub1@127.0.0.1")
    assert refused.returncode == 1
    assert "--force --discard hex_hub3" in refused.stderr
    meant = ("join", "hex_hub1@127.0.0.1", "--force", "--discard", "hex_hub3")
    checkout.must(checkout.of("hex_hub3", *meant))
    users = checkout.must(checkout.hexhub("hex_hub3", "user", "list"))
    assert "nora" in users
    assert "olga" not in users

    checkout.must(checkout.hexhub("hex_hub3", "cluster", "leave"))
    until(lambda: members(checkout).get("hex_hub3") == 1, "it left by its own command line")
    checkout.must(checkout.of("hex_hub3", "stop"))
    assert set(checkout.status()) == {"hex_hub1", "hex_hub2"}
    os.kill(checkout.status()["hex_hub2"]["pid"], signal.SIGKILL)
    until(lambda: checkout.run("status").returncode == 1, "one of two is not healthy alone")
    assert "stopped" in checkout.must(checkout.run("stop", "--all"))
    assert checkout.run("status").returncode == 3


def test_fresh_nodes_form_by_themselves(checkout: Checkout) -> None:
    for name in NAMES:
        checkout.start(name, CLUSTERING_ENABLED="true")
    until(lambda: members(checkout) == dict.fromkeys(NAMES, 3), "a cluster")
    assert checkout.run("status").returncode == 0
