"""Which modules each word of the command line lives in; they are imported when it is asked for.

Behind some commands stands the whole application, which takes five times as long to import as the
rest of such a command does: `hexhub rules list` should not wait for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module

import click

HOMES: Mapping[str, tuple[str, ...]] = {
    "advisory": ("advisories",),
    "audit": ("audit",),
    "backup": ("backup",),
    "client": ("identity",),
    "cluster": ("cluster",),
    "completion": ("doctor",),
    "compact": ("compact",),
    "config": ("inspect",),
    "doctor": ("doctor",),
    "gen-config": ("gen_config",),
    "health": ("health",),
    "import": ("importing", "import_hub"),
    "key": ("accounts",),
    "man": ("manual",),
    "mirror": ("bundle",),
    "network": ("networks",),
    "notice": ("notices",),
    "org": ("accounts", "members", "removals"),
    "package": ("rules", "removals"),
    "policy": ("policies",),
    "public-key": ("inspect",),
    "quota": ("quotas",),
    "routes": ("inspect",),
    "rules": ("rules",),
    "secret": ("backup",),
    "serve": ("inspect",),
    "storage": ("storage",),
    "user": ("accounts", "identity"),
    "version": ("inspect",),
}
"""The first module holds the command (in its COMMANDS), the others add words to it."""


EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 wrong usage; hexhub --help lists all."


def _say_exit_codes(command: click.Command) -> None:
    """At the end of each help, for whoever writes a script."""
    command.epilog = command.epilog or EXIT_CODES
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        _say_exit_codes(inner)


class Commands(MutableMapping[str, click.Command]):
    """The commands by their words, as click wants them."""

    def __getitem__(self, word: str) -> click.Command:
        home, *_ = [import_module(f"hexhub.cli.{name}") for name in HOMES[word]]
        declared: tuple[click.Command, ...] = home.COMMANDS
        command = next(command for command in declared if command.name == word)
        _say_exit_codes(command)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(HOMES)

    def __len__(self) -> int:
        return len(HOMES)

    def __setitem__(self, word: str, command: click.Command) -> None:
        raise TypeError("a command is added to HOMES")

    def __delitem__(self, word: str) -> None:
        raise TypeError("a command is taken out of HOMES")
