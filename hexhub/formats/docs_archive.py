"""Documentation archives: what may be published, checked in the request (docs.md §1, §2)."""

from __future__ import annotations

from dataclasses import dataclass

from hexhub.errors import Malformed
from hexhub.formats.checksum import Buffer, sha256
from hexhub.formats.file_tree import SIZE_MAX as CONTENTS_SIZE_MAX, Entry, FileTree, tar_size_max
from hexhub.formats.inflate import inflate
from hexhub.formats.version import Version

__all__ = ["ARCHIVE_SIZE_MAX", "CONTENTS_SIZE_MAX", "DocsArchive", "Entry", "check"]

ARCHIVE_SIZE_MAX = 16_777_216  # bytes
INDEX = "index.html"


@dataclass(frozen=True, slots=True)
class DocsArchive:
    """An archive of pages that is safe to unpack.

    `checksum` is the SHA-256 of the file and `size` its bytes; `files` are the entries in their order, with
    `contents_size` bytes of data; links among them are safe, but never served (docs.md §3).
    """

    checksum: bytes
    size: int
    contents_size: int
    files: tuple[Entry, ...]


def check(data: Buffer) -> DocsArchive:
    """Read a documentation archive without keeping its pages. Raises Malformed."""
    with memoryview(data) as view:
        try:
            return _check_view(view)
        except Malformed as error:
            problem = str(error)
    # A new error, since the frames of the old one hold slices of the view: a mapped file could not be closed.
    raise Malformed(problem)


def _check_view(view: memoryview) -> DocsArchive:
    if len(view) > ARCHIVE_SIZE_MAX:
        raise Malformed("too big")
    tree = FileTree()
    tar = inflate([view], size_max=tar_size_max(), too_big="too big (uncompressed)")
    for _ in tree.read(tar):
        pass
    if not any(entry.path == INDEX and entry.type == "regular" for entry in tree.entries):
        raise Malformed("index.html missing")
    if any(map(_is_version, tree.top_level_names())):
        raise Malformed("root file or directory name not allowed to match a semver version")
    return DocsArchive(sha256(view), len(view), tree.size, tuple(tree.entries))


def _is_version(name: str) -> bool:
    try:
        Version.parse(name)
    except Malformed:
        return False
    return True
