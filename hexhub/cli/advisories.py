"""Commands about security advisories."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import click

from hexhub.cli.node import Failed, Options, as_json, show, table
from hexhub.errors import Malformed
from hexhub.formats import osv

BATCH = 20


@click.group("advisory")
def advisory() -> None:
    """Security advisories, shown with the packages they are about."""


@advisory.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@as_json
@click.pass_obj
def import_(options: Options, file: Path, as_json: bool) -> None:
    """Take in an OSV export: a JSON object or list, JSON lines, or a ZIP of JSON files."""
    read, changed = 0, 0
    try:
        entries = osv.documents(file.read_bytes())
        while batch := list(islice(entries, BATCH)):
            value = options.ask("POST", "/advisories", body={"advisories": batch})
            read, changed = read + value["read"], changed + len(value["changed"])
    except Malformed as error:
        raise Failed(f"{file}: {error}", 5) from None
    show({"read": read, "changed": changed}, as_json, f"{read} read, {changed} new or changed")


@advisory.command("list")
@as_json
@click.pass_obj
def list_advisories(options: Options, as_json: bool) -> None:
    """Every advisory that is kept."""
    value = options.ask("GET", "/advisories")
    rows = [
        (row["id"], row["rating"] or "", " ".join(row["packages"]), row["summary"][:80])
        for row in value
    ]
    show(value, as_json, table(rows, ("ID", "RATING", "PACKAGES", "SUMMARY")))


COMMANDS = (advisory,)
