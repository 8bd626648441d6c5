"""Package tarballs for tests of the hub: plain ones, and ones with any metadata at all."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from typing import Any

from tests.end_to_end.packages import Requirement, docs_archive, tarball

__all__ = ["Requirement", "crafted", "docs", "metadata", "package", "plain_tar", "term"]

CONTENTS = {"lib/a.ex": b"defmodule A do\nend\n"}


def package(name: str, version: str = "1.0.0", text: str = "", **more: Any) -> bytes:
    """A small package; another `text` makes other bytes."""
    return tarball(name, version, CONTENTS | {"text": text.encode()}, **more)


def docs(text: str = "docs") -> bytes:
    """A small docs archive; another `text` makes other bytes."""
    return docs_archive({"index.html": f"<h1>{text}</h1>".encode()})


def metadata(name: str, **more: object) -> dict[str, object]:
    """What a good package says of itself; a value of None leaves the key out."""
    said = {
        "name": name,
        "version": "1.0.0",
        "app": name,
        "description": "A package",
        "licenses": ["MIT"],
        "links": {},
        "files": ["lib/a.ex"],
        "build_tools": ["mix"],
        "requirements": {},
    } | more
    return {key: value for key, value in said.items() if value is not None}


def term(value: object) -> str:
    """A value as Erlang text (tarball.md §5): maps, lists, texts, numbers, booleans."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'<<"{escaped}"{"" if value.isascii() else "/utf8"}>>'
        case dict():
            return "#{" + ",".join(f"{term(k)} => {term(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ",".join(map(term, value)) + "]"
    return str(value)


def crafted(
    said: Mapping[str, object] | bytes,
    *,
    contents: bytes | None = None,
    outer: Mapping[str, bytes] | None = None,
) -> bytes:
    """A tarball with this metadata, as values or as the text itself, its checksum right.

    `outer` replaces files of the outer archive.
    """
    if isinstance(said, bytes):
        config = said
    else:
        config = "".join(
            f"{{{term(key)},{term(value)}}}.\n" for key, value in said.items()
        ).encode()
    packed = contents if contents is not None else gzip.compress(plain_tar(CONTENTS), mtime=0)
    checksum = hashlib.sha256(b"3" + config + packed).hexdigest().upper().encode()
    files = {
        "VERSION": b"3",
        "CHECKSUM": checksum,
        "metadata.config": config,
        "contents.tar.gz": packed,
    }
    return plain_tar(files | dict(outer or {}))


def plain_tar(files: Mapping[str, bytes]) -> bytes:
    """An uncompressed archive of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
