"""The manual page of every command, from the same declarations as `--help`."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from hexhub import __version__


def _escaped(text: str) -> str:
    """Text for roff: no word of it may be taken for a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(?=[.'])", r"\\&", text, flags=re.M)


def _commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for word in sorted(command.commands):
            yield from _commands(command.commands[word], f"{name} {word}")
        if not command.invoke_without_command:
            return
    yield name, command


def manual(root: click.Command) -> str:
    """A whole page in roff (`man -l`)."""
    about, _, rest = (root.help or "").partition("\n\n")
    lines = [
        f'.TH HEXHUB 1 "" "hexhub {__version__}"',
        ".SH NAME",
        "hexhub \\- a private Hex package repository",
        ".SH DESCRIPTION",
        _escaped(" ".join(about.split())),
        ".SH COMMANDS",
    ]
    for name, command in _commands(root, "hexhub"):
        lines += _command(name, command)
    lines += [".SH EXIT STATUS", _escaped(" ".join(rest.split()))]
    return "\n".join(lines) + "\n"


def _command(name: str, command: click.Command) -> list[str]:
    context = click.Context(command, info_name=name)
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [".SS " + _escaped(f"{name} {usage}"), _escaped(" ".join((command.help or "").split()))]
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            words = ", ".join(parameter.opts)
            lines += [".TP", f"\\fB{_escaped(words)}\\fR", _escaped(parameter.help or "See above.")]
    return lines


@click.command("man")
@click.pass_context
def man(context: click.Context) -> None:
    """Print the manual page, to be read with `hexhub man | man -l -`."""
    click.echo(manual(context.find_root().command), nl=False)


COMMANDS = (man,)
