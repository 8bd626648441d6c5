"""`hexhub compact`: room in the files of the tables that nothing is kept in, back to the disk."""

from __future__ import annotations

import click

from hexhub.cli.node import Options, as_json, show

TIMEOUT_S = 3600.0


@click.command("compact")
@as_json
@click.pass_obj
def compact(options: Options, as_json: bool) -> None:
    """Give room in the files of tables and log that nothing is kept in back to the disk.

    The node goes on meanwhile, and needs as much room again as its tables have rows. It does so by
    itself after a snapshot when more than half of the tables' file is free.
    """
    value = options.ask("POST", "/compact", timeout_s=TIMEOUT_S)
    text = f"{value['bytes_before']} bytes on disk before, {value['bytes_after']} after"
    show(value, as_json, text)


COMMANDS = (compact,)
