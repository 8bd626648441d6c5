"""Commands about security advisories."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import click

from hexhub.cli.node import Failed, Options, as_json, show, table

BATCH = 20
MEMBER_SIZE_MAX = 4 * 1024 * 1024
MEMBERS_MAX = 100_000


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
    entries = _entries(file)
    while batch := list(islice(entries, BATCH)):
        value = options.ask("POST", "/advisories", body={"advisories": batch})
        read, changed = read + value["read"], changed + len(value["changed"])
    show({"read": read, "changed": changed}, as_json, f"{read} read, {changed} new or changed")


def _entries(file: Path) -> Iterator[object]:
    try:
        if zipfile.is_zipfile(file):
            yield from _zipped(file)
            return
        text = file.read_text(encoding="utf-8")
        yield from _decoded(text)
    except (OSError, ValueError, RecursionError, zipfile.BadZipFile) as error:
        raise Failed(f"{file}: no OSV export: {error}", 5) from None


def _zipped(file: Path) -> Iterator[object]:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist()[:MEMBERS_MAX]:
            if not member.filename.endswith(".json"):
                continue
            if member.file_size > MEMBER_SIZE_MAX:
                raise ValueError(f"{member.filename} is too big")
            yield from _decoded(archive.read(member).decode())


def _decoded(text: str) -> Iterator[object]:
    try:
        value = json.loads(text)
    except ValueError:
        yield from (json.loads(line) for line in text.splitlines() if line.strip())
        return
    yield from value if isinstance(value, list) else [value]


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
