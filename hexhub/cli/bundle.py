"""Commands that carry the mirror over an air gap: one file out, the same file in."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hexhub.cli.mirror import finish, mirror, progress, result, size_text
from hexhub.cli.node import Failed, Options, as_json, show

FORMAT = 1
MANIFEST = "hexhub-mirror.json"
FILES = "files/"
FILE_SIZE_MAX = 64 * 1024 * 1024
MANIFEST_SIZE_MAX = 64 * 1024 * 1024
ORDER = ("names", "versions", "packages", "installs", "tarballs", "docs")
"""What later files are checked against comes first."""


@mirror.command("export")
@click.argument("file", type=click.Path(dir_okay=False))
@as_json
@click.pass_obj
def mirror_export(options: Options, file: str, as_json: bool) -> None:
    """Write every kept copy, with the upstream's signatures, into one FILE to carry elsewhere."""
    rows = [
        row for row in options.ask("GET", "/mirror/kept") if row["path"].partition("/")[0] in ORDER
    ]
    rows.sort(key=_rank)
    manifest = {
        "format": FORMAT,
        "files": rows,
    }
    target = Path(file)
    partial = target.with_name(target.name + ".part")
    try:
        with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as bundle:
            _write(bundle, MANIFEST, json.dumps(manifest).encode())
            for row in progress(rows, len(rows), "Exporting"):
                data = options.exchange("GET", "/mirror/bytes", {"path": row["path"]})
                _write(bundle, FILES + row["path"], data)
        partial.replace(target)
    except OSError as error:
        raise Failed(f"{file}: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)
    size = sum(row["size"] for row in rows)
    value = {"files": len(rows), "bytes": size}
    show(value, as_json, f"{len(rows)} files, {size_text(size)}, are in {file}")


def _rank(row: Mapping[str, Any]) -> tuple[int, int, str]:
    """Where a file stands among others; lists of builds are above the builds that they list."""
    path = str(row["path"])
    kind = path.partition("/")[0]
    return ORDER.index(kind) if kind in ORDER else len(ORDER), path.count("/"), path


def _write(bundle: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    bundle.addfile(entry, io.BytesIO(data))


@mirror.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@as_json
@click.pass_obj
def mirror_import(options: Options, file: str, as_json: bool) -> None:
    """Keep what an export carries. Everything is verified again, as if it came from upstream."""
    try:
        with tarfile.open(file, "r:") as bundle:
            rows = _manifest(bundle)
            results = [
                _bring(options, bundle, row) for row in progress(rows, len(rows), "Importing")
            ]
    except (tarfile.TarError, OSError, EOFError) as error:
        raise Failed(f"{file}: not an export of a mirror: {error}", 2) from None
    finish(results, as_json)


def _manifest(bundle: tarfile.TarFile) -> list[dict[str, Any]]:
    data = _member(bundle, MANIFEST, MANIFEST_SIZE_MAX)
    try:
        manifest = json.loads(data or b"")
        rows = manifest["files"]
        number = manifest["format"]
        known = all(isinstance(row["path"], str) and row["fetched_at"] for row in rows)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise Failed("not an export of a mirror: its list of files cannot be read", 2) from None
    if number != FORMAT:
        raise Failed(f"this export has the format {number}, this program knows {FORMAT}", 2)
    if not known:
        raise Failed("not an export of a mirror: a file without a path", 2)
    return sorted(rows, key=_rank)


def _member(bundle: tarfile.TarFile, name: str, size_max: int) -> bytes | None:
    """The bytes of an entry; None when it is missing, no plain file, or too big."""
    try:
        entry = bundle.getmember(name)
    except KeyError:
        return None
    if not entry.isreg() or entry.size > size_max:
        return None
    file = bundle.extractfile(entry)
    return file.read() if file is not None else None


def _bring(options: Options, bundle: tarfile.TarFile, row: dict[str, Any]) -> dict[str, Any]:
    path = row["path"]
    data = _member(bundle, FILES + path, FILE_SIZE_MAX)
    if data is None:
        return result(path, "failed", "it is not in the file")
    query = {"path": path, "at": str(row.get("checked_at") or row["fetched_at"])}
    if isinstance(row.get("etag"), str):
        query["etag"] = row["etag"]
    try:
        found: dict[str, Any] = json.loads(options.exchange("POST", "/mirror/bring", query, data))
    except Failed as error:
        if error.exit_code == 6:
            raise
        return result(path, "failed", str(error))
    return found


COMMANDS = (mirror,)
