"""docs/operations/backup.md: each line of its examples, tried on a real node in this order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.end_to_end.node import ROOT, RunningNode, run
from tests.hexhub.packages import package

PAGE = ROOT / "docs/operations/backup.md"


def lines() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text("utf-8"), flags=re.M | re.S)
    return [line for block in blocks for line in block.splitlines()]


class Machine:
    """A machine as the page describes it, in a folder."""

    def __init__(self, folder: Path, node: RunningNode) -> None:
        self.node = node
        self.places = {
            "/var/lib/hexhub": str(folder / "data"),
            "/backup": str(folder / "backup"),
            "/etc/hexhub": str(folder / "etc"),
        }
        for place in ("backup", "etc"):
            (folder / place).mkdir()

    def do(self, line: str) -> str:
        """Run a line of the page; what it printed."""
        if line == "systemctl stop hexhub":
            assert self.node.stop() == 0
            return ""
        if line == "systemctl start hexhub":
            self.node.restart()
            return ""
        if line.startswith("hexhub "):
            words = [self._moved(word) for word in line.split()[1:]]
            return self.node.command(*words)
        output = run(
            ["bash", "-euo", "pipefail", "-c", self._moved(line)],
            cwd=ROOT,
            environment=self.node.environment,
        )
        assert output.code == 0, (line, output)
        return output.stdout

    def _moved(self, text: str) -> str:
        for there, here in self.places.items():
            text = re.sub(rf"(?<![\w/]){there}\b", here, text)
        return text


def test_every_line_of_the_page_works_and_nothing_is_lost(tmp_path: Path) -> None:
    node = RunningNode(tmp_path, {})
    try:
        node.create_user("mara")
        key = node.create_key("mara", "api")
        body = package("decimal")
        path = "/api/publish"
        assert node.request("POST", path, key=key, body=body).status == 201
        fingerprint = node.fingerprint()
        machine = Machine(tmp_path, node)
        said = {line: machine.do(line) for line in lines()}
        assert said["hexhub public-key --fingerprint"] == fingerprint
        assert node.fingerprint() == fingerprint
        assert node.request("GET", "/tarballs/decimal-1.0.0.tar").body == body
        assert node.request("GET", "/api/users/me", key=key).status == 200
        assert "whole" in said[lines()[1]]
    finally:
        node.stop()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["backup", "create", "{folder}/b"], 2),
        (["backup", "create", "{folder}/b", "--without-secrets"], 6),
        (["backup", "verify", "{folder}/nothing"], 2),
        (["backup", "verify", "{folder}/text"], 7),
        (["backup", "restore", "{folder}/text"], 7),
    ],
)
def test_commands_end_with_the_codes_of_the_page(
    tmp_path: Path, arguments: list[str], code: int
) -> None:
    import os
    import sys

    (tmp_path / "text").write_text("no backup")
    output = run(
        [sys.executable, "-m", "hexhub", *(word.format(folder=tmp_path) for word in arguments)],
        cwd=ROOT,
        environment={"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path / "data")},
    )
    assert output.code == code, output
    assert output.stderr
    assert not (tmp_path / "data").exists()
