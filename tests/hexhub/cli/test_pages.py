"""Every command that a page of docs/ shows is one, with the options that it shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from hexhub.cli import hexhub

DOCS = Path(__file__).resolve().parents[3] / "docs"
LINES = sorted(
    {
        line.strip()
        for page in DOCS.rglob("*.md")
        for block in re.findall(r"^```sh\n(.*?)^```", page.read_text("utf-8"), flags=re.M | re.S)
        for line in re.split(r"[;\n]", block)
        if line.strip().startswith("hexhub ") and not re.search(r"[$<>|\\]", line)
    }
)


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_the_docs_is_a_command(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = hexhub
    while isinstance(command, click.Group) and words:
        found = command.commands.get(words[0])
        if found is None:
            break
        command, words = found, words[1:]
    assert not isinstance(command, click.Group) or not words, line
    options = {name for each in command.params for name in each.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options, line


def test_there_are_such_lines() -> None:
    assert len(LINES) > 15
