"""Bring packages from elsewhere: a static registry folder, a backup of the Phoenix HexHub."""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from hexhub.cli.node import Failed, Options, as_json, show
from hexhub.errors import Malformed
from hexhub.formats import envelope, registry, signing_key
from hexhub.formats.registry_values import RegistryRelease, RetirementReason
from hexhub.formats.version import Version

PARTIAL = 10
FILE_SIZE_MAX = 64 << 20
PACKAGE_SIZE_MAX = 64 << 20
ARCHIVE_NAME = re.compile(r"(?:.*/)?([a-z][a-z0-9_]*)-(\d+\.\d+\.\d+\S*?)\.(?:tar\.gz|tar)")


@dataclass
class Report:
    """What became of each file; `skipped` by file with the reason."""

    counts: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, str] = field(default_factory=dict)


class Importer:
    """Sends what is found to the node, and keeps the report. One that is refused stops nothing."""

    def __init__(self, options: Options, repository: str, user: str, dry_run: bool) -> None:
        self.options = options
        self.repository = repository
        self._query = {"repository": repository, "user": user}
        if dry_run:
            self._query["dry_run"] = "true"
        self.dry_run = dry_run
        self.report = Report()

    def file(self, kind: str, name: str, body: bytes, **more: str) -> bool:
        """Send a tarball or docs archive; whether it is at the hub now."""
        try:
            said = self.options.exchange("POST", f"/import/{kind}", self._query | more, body)
        except Failed as error:
            if error.exit_code == 6:
                raise
            self.report.skipped[name] = str(error)
            return False
        self.report.counts[f"{kind} {json.loads(said)['state']}"] += 1
        return True

    def fact(self, kind: str, name: str, body: dict[str, Any]) -> None:
        """Send an owner or a retirement."""
        if self.dry_run:
            self.report.counts[f"{kind} would be imported"] += 1
            return
        query = {key: value for key, value in self._query.items() if key != "dry_run"}
        try:
            said = self.options.ask("POST", f"/import/{kind}", query=query, body=body)
        except Failed as error:
            if error.exit_code == 6:
                raise
            self.report.skipped[name] = str(error)
            return
        self.report.counts[f"{kind} {said['state']}"] += 1

    def finish(self, as_json: bool) -> None:
        """Print the report. Raises Failed with 10 when something was left out."""
        lines = [f"{count} {what}" for what, count in sorted(self.report.counts.items())]
        lines += [f"left out {name}: {reason}" for name, reason in self.report.skipped.items()]
        value = {"counts": dict(self.report.counts), "skipped": self.report.skipped}
        show(value, as_json, "\n".join(lines) or "nothing found")
        if self.report.skipped:
            raise Failed(f"{len(self.report.skipped)} were left out", PARTIAL)


@click.group("import")
def import_() -> None:
    """Bring packages from elsewhere, byte for byte; run again, it goes on."""


into = click.option("--repository", default="hexpm", show_default=True, help="Where to.")
by = click.option("--user", required=True, help="Publishes packages that have no owner here.")
dry_run = click.option("--dry-run", is_flag=True, help="Read and check everything, change nothing.")


@import_.command("static")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@into
@by
@dry_run
@as_json
@click.pass_obj
def static(
    options: Options, folder: Path, repository: str, user: str, dry_run: bool, as_json: bool
) -> None:
    """From FOLDER as `mix hex.registry build` makes it: tarballs/, packages/, public_key."""
    tarballs = folder / "tarballs"
    if not tarballs.is_dir():
        raise Failed(f"{folder} has no tarballs/: it is no static registry", 2)
    importer = Importer(options, repository, user, dry_run)
    known = dict(_registry(folder, importer.report))
    for path in sorted(tarballs.glob("*.tar"), key=lambda path: _order(path.name)):
        name, version = _named(path.name)
        said = known.get((name, version))
        if path.stat().st_size > FILE_SIZE_MAX:
            importer.report.skipped[path.name] = "too big"
            continue
        if known and said is None:
            importer.report.skipped[path.name] = "not in the registry's packages/"
            continue
        more = said_of(name, said) if said else {}
        if importer.file("release", path.name, path.read_bytes(), **more) and said and said.retired:
            reason = reason_of(said.retired.reason)
            message = said.retired.message or "retired where it came from"
            importer.fact(
                "retirement",
                path.name,
                {"package": name, "version": version, "reason": reason, "message": message},
            )
    importer.finish(as_json)


def said_of(name: str, release: RegistryRelease) -> dict[str, str]:
    """What the node compares a tarball with, and when it was published."""
    more = {"package": name, "version": release.version, "inner": release.inner_checksum.hex()}
    if release.outer_checksum is not None:
        more["outer"] = release.outer_checksum.hex()
    if release.published_at is not None:
        more["published_at"] = release.published_at.isoformat()
    return more


def reason_of(number: int) -> str:
    """The word for a reason of a retirement; `other` for one that is unknown here."""
    try:
        return RetirementReason(number).name.lower()
    except ValueError:
        return RetirementReason.OTHER.name.lower()


def _registry(folder: Path, report: Report) -> Iterator[tuple[tuple[str, str], RegistryRelease]]:
    """What the signed resources say of each release, where they can be checked."""
    key_file = folder / "public_key"
    if not key_file.is_file():
        return
    try:
        key = signing_key.load_public_key(key_file.read_bytes())
    except Malformed as error:
        raise Failed(f"{key_file}: {error}", 7) from None
    for path in sorted((folder / "packages").glob("*")):
        try:
            payload = envelope.unseal(path.read_bytes(), key, size_max=PACKAGE_SIZE_MAX)
            package = registry.decode_package(payload)
        except Malformed as error:
            report.skipped[f"packages/{path.name}"] = str(error)
            continue
        for release in package.releases:
            yield (package.name, release.version), release


@import_.command("phoenix")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@into
@by
@dry_run
@as_json
@click.pass_obj
def phoenix(
    options: Options, file: Path, repository: str, user: str, dry_run: bool, as_json: bool
) -> None:
    """From FILE, a backup tar of the Phoenix HexHub: users, owners, releases, docs.

    Accounts come without passwords: `hexhub user password NAME` makes a link for each.
    """
    importer = Importer(options, repository, user, dry_run)
    try:
        with tarfile.open(file) as archive:
            _from_phoenix(archive, importer, options)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise Failed(f"{file} cannot be read: {error}", 7) from None
    importer.finish(as_json)


def _from_phoenix(archive: tarfile.TarFile, importer: Importer, options: Options) -> None:
    members = {info.name.removeprefix("./"): info for info in archive if info.isreg()}
    if "manifest.json" not in members:
        raise Failed("this is no backup of the Phoenix HexHub: it has no manifest.json", 7)
    _users(_rows(archive, members, "users.json"), importer, options)
    owners = _rows(archive, members, "owners.json")
    first = {
        str(row.get("package_name")): str(row.get("username"))
        for row in reversed(owners)
        if row.get("level") == "full"
    }
    names = [name for name in members if ARCHIVE_NAME.fullmatch(name)]
    # `.tar.gz` there is a plain tarball too: what a file is, its bytes say.
    for name in sorted((n for n in names if n.startswith("packages/")), key=_order):
        package = _named(name)[0]
        more = {"user": first[package]} if package in first and not importer.dry_run else {}
        importer.file("release", name, _body(archive, members[name]), **more)
    for row in owners:
        body = {
            "package": row.get("package_name"),
            "username": row.get("username"),
            "level": row.get("level"),
        }
        importer.fact("owner", f"owner {body['username']} of {body['package']}", body)
    for row in _rows(archive, members, "releases.json"):
        retired = row.get("retired")
        if isinstance(retired, dict) and retired.get("reason"):
            said = {
                "package": row.get("package_name"),
                "version": row.get("version"),
                "reason": retired["reason"],
                "message": retired.get("message") or "retired where it came from",
            }
            importer.fact("retirement", f"retirement of {said['package']}", said)
    for name in sorted((n for n in names if n.startswith("docs/")), key=_order):
        package, version = _named(name)
        importer.file("docs", name, _body(archive, members[name]), package=package, version=version)


def _users(rows: list[dict[str, Any]], importer: Importer, options: Options) -> None:
    there = {row["username"] for row in options.ask("GET", "/users")}
    for row in rows:
        name = str(row.get("username"))
        if name in there or row.get("deactivated_at"):
            importer.report.counts["users there" if name in there else "users left out"] += 1
            continue
        if importer.dry_run:
            importer.report.counts["users would be imported"] += 1
            continue
        try:
            options.ask("POST", "/users", body={"name": name, "email": row.get("email")})
        except Failed as error:
            importer.report.skipped[f"user {name}"] = str(error)
            continue
        importer.report.counts["users imported"] += 1


def _rows(
    archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo], name: str
) -> list[dict[str, Any]]:
    if name not in members:
        return []
    try:
        found = json.loads(_body(archive, members[name]))
    except (ValueError, RecursionError):
        raise Failed(f"{name} in the backup is not JSON", 7) from None
    if not isinstance(found, list):
        raise Failed(f"{name} in the backup is no list", 7)
    return [row for row in found if isinstance(row, dict)]


def _body(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    if info.size > FILE_SIZE_MAX:
        raise Failed(f"{info.name} in the backup is too big", 7)
    file = archive.extractfile(info)
    return file.read() if file is not None else b""


def _named(file: str) -> tuple[str, str]:
    match = ARCHIVE_NAME.fullmatch(file)
    return (match[1], match[2]) if match else (file, "")


def _order(file: str) -> tuple[str, bool, Any]:
    """By package, then by version; what is no version comes last."""
    name, version = _named(file)
    try:
        return name, False, Version.parse(version)
    except Malformed:
        return name, True, file


COMMANDS = (import_,)
