"""Commands about the audit log."""

from __future__ import annotations

import json
from typing import TextIO

import click

from hexhub.cli.node import Failed, Options, as_json, show
from hexhub.domain import audit as chain
from hexhub.errors import Malformed


@click.group("audit")
def audit() -> None:
    """Who did what: the log of every change."""


@audit.command("export")
@click.option("--since", metavar="DATE", help="ISO 8601; without it, everything.")
@click.pass_obj
def export(options: Options, since: str | None) -> None:
    """Print the records in order, one JSON object a line, each with its hash and the one before."""
    after = 0
    while True:
        query = {"after": str(after)} | ({"since": since} if since else {})
        lines = options.ask("GET", "/audit", query=query)
        if not lines:
            return
        for line in lines:
            click.echo(json.dumps(line, ensure_ascii=False))
        after = lines[-1]["place"]


@audit.command("verify")
@click.argument("file", type=click.File("r"), default="-")
@as_json
def verify(file: TextIO, as_json: bool) -> None:
    """Check an export: that no record in it was changed and none is missing."""
    try:
        count = chain.verify(json.loads(line) for line in file if line.strip())
    except (Malformed, ValueError, AttributeError) as error:
        raise Failed(f"the chain does not hold: {error}", 5) from None
    show({"records": count, "holds": True}, as_json, f"{count} records, the chain holds")


COMMANDS = (audit,)
