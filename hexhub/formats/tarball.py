"""Package tarballs: the strict reading of what someone wants to publish (tarball.md §1-§6, §10)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import TypeVar

from hexhub.errors import Malformed
from hexhub.formats.checksum import Buffer, sha256
from hexhub.formats.erlang_text import SIZE_MAX as METADATA_SIZE_MAX, parse_config
from hexhub.formats.file_tree import SIZE_MAX as CONTENTS_SIZE_MAX, Entry, FileTree, tar_size_max
from hexhub.formats.inflate import inflate
from hexhub.formats.quoted import quoted
from hexhub.formats.tar_stream import read_tar

__all__ = [
    "CONTENTS_SIZE_MAX",
    "METADATA_SIZE_MAX",
    "TARBALL_SIZE_MAX",
    "Buffer",
    "Entry",
    "TakesLonger",
    "Tarball",
    "read",
    "read_metadata",
    "read_quickly",
]

T = TypeVar("T")

TARBALL_SIZE_MAX = 16_777_216  # bytes
VERSION_SIZE_MAX = 32
CHECKSUM_SIZE_MAX = 128
WARNINGS_MAX = 20
QUICK_METADATA_MAX = 4 * 1024
QUICK_CONTENTS_MAX = 128 * 1024
"""Bytes, uncompressed, that are read in half a millisecond as a rule, and in 8 at worst."""
RESERVED_FILE = "hex_metadata.config"  # clients write this file beside the contents

_SIZES_MAX = {
    "VERSION": VERSION_SIZE_MAX,
    "CHECKSUM": CHECKSUM_SIZE_MAX,
    "metadata.config": METADATA_SIZE_MAX,
    "contents.tar.gz": TARBALL_SIZE_MAX,
}
_CHECKSUM = re.compile(rb"[0-9A-Fa-f]{64}")


@dataclass(frozen=True, slots=True)
class Tarball:
    """A package tarball that is safe to store and to unpack.

    `metadata` is normalized and holds only None, bool, int, list, tuple, dict with str keys, and str without NUL;
    beyond that nothing is promised of it: a key may be absent or of another type, `name` and `version` are None
    when they are not text. Checksums are 32 raw bytes; `size` is that of the file. `files` are the entries of
    the contents in their order, with `contents_size` bytes of data, both empty when only the metadata was read.
    `warnings` are sentences for the publisher.
    """

    name: str | None
    version: str | None
    metadata: dict[str, object]
    inner_checksum: bytes
    outer_checksum: bytes
    size: int
    contents_size: int = 0
    files: tuple[Entry, ...] = ()
    warnings: tuple[str, ...] = ()


class TakesLonger(Exception):
    """Reading this to its end takes longer than was wanted; nothing is known of it."""


def read(data: Buffer) -> Tarball:
    """Read a whole tarball as strictly as publishing demands. Raises Malformed.

    Takes memory for the metadata and the list of files only: contents are inflated in passing.
    """
    return _read(data, contents=True)


def read_quickly(data: Buffer) -> Tarball:
    """`read` where it is done soon. Raises Malformed, and TakesLonger for what is larger.

    A thread would keep the interpreter, and the event loop waiting, for as long.
    """
    return _read(data, contents=True, quick=True)


def read_metadata(data: Buffer) -> Tarball:
    """Read all but the contents of a tarball: who may publish depends on the name inside. Raises Malformed."""
    return _read(data, contents=False)


def _read(data: Buffer, *, contents: bool, quick: bool = False) -> Tarball:
    with memoryview(data) as view:
        try:
            return _read_view(view, contents=contents, quick=quick)
        except Malformed as error:
            problem = str(error)
    # A new error, since the frames of the old one hold slices of the view: a mapped file could not be closed.
    raise Malformed(problem)


def _read_view(view: memoryview, *, contents: bool, quick: bool) -> Tarball:
    if len(view) > TARBALL_SIZE_MAX:
        raise Malformed("too big")
    files = _outer_files(view)
    version, checksum, config, archive = (files[name] for name in _SIZES_MAX)
    if bytes(version) != b"3":
        raise Malformed(f"unsupported version: <<{quoted(bytes(version).decode('latin-1'))}>>")
    inner_checksum = _check_inner(bytes(checksum), (version, config, archive))
    if quick and len(config) > QUICK_METADATA_MAX:
        raise TakesLonger
    metadata = _metadata(bytes(config))
    tree = FileTree()
    if contents:
        for _ in _contents(archive, tree, quick=quick):
            pass
    return Tarball(
        name=_text(metadata.get("name")),
        version=_text(metadata.get("version")),
        metadata=metadata,
        inner_checksum=inner_checksum,
        outer_checksum=sha256(view),
        size=len(view),
        contents_size=tree.size,
        files=tuple(tree.entries),
        warnings=tuple(_warnings(metadata, tree)) if contents else (),
    )


def _outer_files(view: memoryview) -> dict[str, memoryview]:
    files: dict[str, memoryview] = {}
    for header, data in _prefixed("tarball error, ", read_tar([view])):
        name = header.name
        if name not in _SIZES_MAX or header.extended:
            raise Malformed(f"unexpected file: {quoted(name)}")
        if header.kind != "regular":
            raise Malformed(f"{name} is a {header.kind}, not a regular file")
        if header.size > _SIZES_MAX[name]:
            raise Malformed(f"file too big: {name}")
        if name in files:
            raise Malformed(f"the file {name} appears twice")
        # The whole tarball is one piece, so the data of an entry is one slice of it.
        files[name] = memoryview(next(data, b""))
    missing = [f'"{name}"' for name in _SIZES_MAX if name not in files]
    if missing:
        raise Malformed(f"missing files: [{', '.join(missing)}]")
    return files


def _check_inner(said: bytes, parts: tuple[memoryview, ...]) -> bytes:
    """The inner checksum, computed and compared with what CHECKSUM says."""
    if _CHECKSUM.fullmatch(said) is None:
        raise Malformed("invalid checksum: CHECKSUM must be 64 hex digits")
    found = sha256(*parts)
    if found != bytes.fromhex(said.decode("ascii")):
        raise Malformed(
            f"tarball checksum mismatch: CHECKSUM says {said.decode('ascii').lower()}, "
            f"the files have {found.hex()}"
        )
    return found


def _metadata(config: bytes) -> dict[str, object]:
    try:
        metadata = parse_config(config, unique=True)
        _check_texts(metadata)
    except Malformed as error:
        raise Malformed(f"error reading package metadata: {error}") from None
    return metadata


def _check_texts(value: object) -> None:
    """Every text is UTF-8 without NUL, so that it can be stored, shown and put into any format."""
    match value:
        case bytes():
            raise Malformed("a text is not UTF-8")
        case str():
            if "\0" in value:
                raise Malformed("a text holds a NUL")
        case list() | tuple():
            for each in value:
                _check_texts(each)
        case dict():
            for key, each in value.items():
                if not isinstance(key, str):
                    raise Malformed("a key of a map is not text")
                _check_texts(key)
                _check_texts(each)


def _contents(
    archive: memoryview, tree: FileTree, *, quick: bool
) -> Iterator[tuple[Entry, Iterator[bytes | memoryview]]]:
    """The entries of contents.tar.gz with their data, checked as one tree at the end."""
    tar = inflate([archive], size_max=tar_size_max(), too_big="too big (uncompressed)")
    if quick:
        tar = _at_most(QUICK_CONTENTS_MAX, tar)
    yield from _prefixed("inner tarball error, ", tree.read(tar))
    if any(name.lower() == RESERVED_FILE for name in tree.top_level_names()):
        raise Malformed(f"inner tarball error, {RESERVED_FILE}: the name is reserved")


def _at_most(size: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        size -= len(chunk)
        if size < 0:
            raise TakesLonger
        yield chunk


def _prefixed(prefix: str, items: Iterator[T]) -> Iterator[T]:
    try:
        yield from items
    except Malformed as error:
        raise Malformed(f"{prefix}{error}") from None


def _warnings(metadata: dict[str, object], tree: FileTree) -> Iterator[str]:
    """The first WARNINGS_MAX oddities that are no reason to refuse."""
    return islice(
        chain(_case_clashes(tree), _unlike_list(metadata.get("files"), tree)), WARNINGS_MAX
    )


def _case_clashes(tree: FileTree) -> Iterator[str]:
    seen: dict[str, str] = {}
    for entry in tree.entries:
        other = seen.setdefault(entry.path.casefold(), entry.path)
        if other != entry.path:
            yield f"{quoted(entry.path)} and {quoted(other)} differ only in case"


def _unlike_list(listed: object, tree: FileTree) -> Iterator[str]:
    if not isinstance(listed, list):
        return
    names = {name.removesuffix("/") for name in listed if isinstance(name, str)}
    for name in sorted(names):
        if not tree.has(name):
            yield f"{quoted(name)} is listed in files but not in the contents"
    for entry in tree.entries:
        if entry.path not in names:
            yield f"{quoted(entry.path)} is in the contents but not listed in files"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
