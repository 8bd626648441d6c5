"""The files of an archive as a tree: which paths and links are safe to unpack anywhere (tarball.md §10, rule 5)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from hexhub.errors import Malformed
from hexhub.formats.quoted import quoted
from hexhub.formats.tar_stream import BLOCK, Header, Kind, read_tar

SIZE_MAX = 134_217_728  # bytes of entry data
HEADERS_SIZE_MAX = 134_217_728  # bytes of a tar that are not entry data
ENTRIES_MAX = 100_000
NODES_MAX = 250_000  # entries and the directories that their paths imply
NAMES_SIZE_MAX = 16_777_216  # characters of all paths and link targets
PATH_SIZE_MAX = 4096  # bytes
DEPTH_MAX = 100

_DRIVE = re.compile(r"[A-Za-z]:")
_SEPARATORS = re.compile(r"[/\\]")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, directory or link of an archive.

    `path` is relative, without `.` and `..`, separated by slashes; a backslash in it is an ordinary character.
    `mode` is the twelve permission bits, `target` where a link points, as written.
    """

    path: str
    type: Kind
    size: int
    mode: int
    target: str = ""


@dataclass(slots=True)
class _Node:
    entry: Entry | None = None
    children: dict[str, _Node] = field(default_factory=dict)
    links: set[str] | None = None  # folded names of the children that are links


class FileTree:
    """Collects entries and says what is wrong with them together."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.size = 0
        self._root = _Node()
        self._nodes = 0
        self._names_size = 0
        self._parents_of_links: list[_Node] = []

    def read(
        self, pieces: Iterable[bytes | memoryview]
    ) -> Iterator[tuple[Entry, Iterator[bytes | memoryview]]]:
        """The entries of a tar in their order, with their data as in `read_tar`. Raises Malformed.

        The tree as a whole is checked after the last entry: only then is it known to be safe.
        """
        for header, data in read_tar(pieces):
            entry = self._add(header)
            if entry is not None:
                yield entry, data
        self._check_links()

    def has(self, path: str) -> bool:
        """Whether `path` is an entry, or a directory that only paths below it imply."""
        node: _Node | None = self._root
        for segment in path.removesuffix("/").split("/"):
            node = node.children.get(segment) if node is not None else None
        return node is not None

    def top_level_names(self) -> Iterable[str]:
        """The first segments of all paths."""
        return self._root.children.keys()

    def _add(self, header: Header) -> Entry | None:
        segments = _segments(header)
        if not segments:
            return None  # the root itself, as `tar -C dir .` writes it
        entry = Entry("/".join(segments), header.kind, header.size, header.mode, header.target)
        self._count(entry)
        if header.mode & 0o7000:
            raise Malformed(f"setuid, setgid or sticky bit: {quoted(header.name)}")
        self._place(entry, segments)
        self.entries.append(entry)
        return entry

    def _count(self, entry: Entry) -> None:
        self.size += entry.size
        self._names_size += len(entry.path) + len(entry.target)
        if self.size > SIZE_MAX:
            raise Malformed("too big (uncompressed)")
        if len(self.entries) >= ENTRIES_MAX:
            raise Malformed(f"more than {ENTRIES_MAX} entries")
        if self._names_size > NAMES_SIZE_MAX:
            raise Malformed("the paths together are too long")

    def _place(self, entry: Entry, segments: list[str]) -> None:
        parent = self._root
        for segment in segments[:-1]:
            parent = self._child(parent, segment)
            if parent.entry is not None and parent.entry.type != "directory":
                raise Malformed(f"{quoted(entry.path)} is below a {parent.entry.type} entry")
        node = self._child(parent, segments[-1])
        if node.entry is not None:
            raise Malformed(f"the path {quoted(entry.path)} appears twice")
        if node.children and entry.type != "directory":
            raise Malformed(f"{quoted(entry.path)} is a {entry.type} entry with others below it")
        node.entry = entry
        if entry.type == "symlink":
            if parent.links is None:
                parent.links = set()
                self._parents_of_links.append(parent)
            parent.links.add(_fold(segments[-1]))

    def _child(self, node: _Node, segment: str) -> _Node:
        child = node.children.get(segment)
        if child is None:
            child = node.children[segment] = _Node()
            self._nodes += 1
            if self._nodes > NODES_MAX:
                raise Malformed(f"more than {NODES_MAX} files and directories")
        return child

    def _check_links(self) -> None:
        # Names are compared folded: on some file systems `Link` is `link`.
        for parent in self._parents_of_links:
            for name, child in parent.children.items():
                if child.children and parent.links and _fold(name) in parent.links:
                    raise Malformed(f"there are entries below the link {quoted(name)}")
        for entry in self.entries:
            if entry.type == "symlink" and not self._stays_inside(entry):
                raise Malformed(f"unsafe symlink: {quoted(entry.path)} -> {quoted(entry.target)}")

    def _stays_inside(self, link: Entry) -> bool:
        """Whether the target is below the root at every step and reached through no other link."""
        steps = link.target.removesuffix("/").split("/")
        if len(steps) > DEPTH_MAX or not _is_relative(link.target):
            return False
        if any("\\" in step and ".." in step.split("\\") for step in steps):
            return False
        trail: list[_Node | None] = [self._root]  # None where nothing is: the link dangles
        for segment in link.path.split("/")[:-1]:
            trail.append(_step(trail[-1], segment))
        through_link = False
        for step in steps:
            if through_link:
                return False
            if step == "..":
                trail.pop()
                if not trail:
                    return False
            elif step not in ("", "."):
                here = trail[-1]
                links = here.links if here is not None else None
                through_link = links is not None and _fold(step) in links
                trail.append(_step(here, step))
        return True


def tar_size_max() -> int:
    """How long the tar of a tree may be, in bytes: data and headers, and two blocks to end it."""
    return SIZE_MAX + HEADERS_SIZE_MAX + 2 * BLOCK


def _segments(header: Header) -> list[str]:
    """The parts of a safe path; none for the root directory. Raises Malformed."""
    name = header.name
    parts = (name.removesuffix("/") if header.kind == "directory" else name).split("/")
    segments = [part for part in parts if part != "."]
    if (
        not _is_relative(name)
        or "" in parts
        or len(parts) > DEPTH_MAX
        or ".." in _SEPARATORS.split(name)
        or (not segments and header.kind != "directory")
    ):
        raise Malformed(f"unsafe path: {quoted(name)}")
    return segments


def _is_relative(path: str) -> bool:
    """Whether a path has no root, neither here nor on Windows, where a backslash separates and `C:` is a drive."""
    return (
        0 < len(path.encode("utf-8")) <= PATH_SIZE_MAX
        and "\0" not in path
        and not path.startswith(("/", "\\"))
        and _DRIVE.match(path) is None
    )


def _step(node: _Node | None, segment: str) -> _Node | None:
    return node.children.get(segment) if node is not None else None


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
