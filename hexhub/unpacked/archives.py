"""Regular files of docs archives and package tarballs, one after another (docs.md §3, tarball.md §1).

What is published was checked before; this reads what is stored, and still believes nothing.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO

from hexhub.errors import Malformed

SIZE_MAX = 134_217_728
FILES_MAX = 50_000
PATH_MAX = 1024


def docs(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """The files of a documentation archive. Raises Malformed."""
    yield from _files(io.BytesIO(archive))


def package(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """The files of a package's contents. Raises Malformed."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as outer:
            member = outer.next()
            while member is not None and member.name != "contents.tar.gz":
                member = outer.next()
            contents = outer.extractfile(member) if member is not None else None
            if contents is None:
                raise Malformed("no contents.tar.gz")
            inner = contents.read()
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise Malformed("not a tarball") from error
    yield from _files(io.BytesIO(inner))


def _files(archive: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """Regular files with safe paths; of two with one path the first counts."""
    seen: set[str] = set()
    left = SIZE_MAX
    try:
        with tarfile.open(fileobj=archive, mode="r|gz") as reader:
            for count, member in enumerate(reader):
                if count > FILES_MAX:
                    raise Malformed("too many files")
                left -= member.size if member.isreg() else 0
                if left < 0:
                    raise Malformed("too big (uncompressed)")
                path = _safe(member.name)
                if not member.isreg() or path is None or path in seen:
                    continue
                seen.add(path)
                content = reader.extractfile(member)
                if content is not None:
                    yield path, content.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError, RecursionError) as error:
        raise Malformed("not a gzipped tar") from error


def _safe(name: str) -> str | None:
    """A path without dots and doubled slashes; None for one that leaves its folder."""
    if len(name) > PATH_MAX or "\0" in name or "\\" in name or name.startswith("/"):
        return None
    try:
        name.encode()
    except UnicodeEncodeError:
        return None
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return None if not parts or ".." in parts else "/".join(parts)
