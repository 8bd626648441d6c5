"""The manual page holds every command with its options, and roff reads it without a complaint."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import click

from hexhub.cli import hexhub
from hexhub.cli.manual import manual
from tests.programs import require


def leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for word, inner in command.commands.items():
            yield from leaves(inner, f"{name} {word}")
    else:
        yield name, command


def test_every_command_and_option_is_on_the_page() -> None:
    page = manual(hexhub).replace("\\-", "-")
    for name, command in leaves(hexhub, "hexhub"):
        assert f".SS {name}" in page
        for each in command.params:
            if isinstance(each, click.Option):
                assert each.opts[0] in page
    assert "130 interrupted" in page


def test_roff_takes_the_page() -> None:
    require("groff")
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z"],
        input=manual(hexhub),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "macro" not in done.stderr, done.stderr
