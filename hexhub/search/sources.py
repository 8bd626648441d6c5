"""What there is to find in a documentation archive: ExDoc's search data, else the pages' own text.

Written by strangers: read, never run, and bounded in number and length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser

import msgspec

from hexhub.unpacked import Pack

ITEMS_MAX = 20_000
TEXT_MAX = 4_000
TITLE_MAX = 200
DATA_MAX = 32_000_000
PAGE_MAX = 2_000_000

SEARCH_DATA = re.compile(
    r"(?:dist/)?search_data-[0-9A-Za-z]+\.js|search-data\.json|search_data\.js"
)
PICTURE_OR_LINK = re.compile(r"!?\[([^][\n]{0,300})\]\([^()\s]{0,300}\)")
MARKS = re.compile(
    r"```[\w-]*|~~~[\w-]*|`|\*\*|^\s{0,3}(?:#{1,6}|>|[-*+])\s|<!--.{0,200}?-->|\{: \.[\w .]*\}",
    re.M,
)
QUIET = frozenset({"script", "style", "nav", "head", "svg", "template"})


@dataclass(frozen=True, slots=True)
class Item:
    """Something to find: its kind, where it is in the archive, its title, and its text."""

    kind: str
    ref: str
    title: str
    text: str


def items(pack: Pack) -> Iterator[Item]:
    """Everything to find in an archive, at most ITEMS_MAX."""
    found = list(_search_data(pack))
    yield from (found or list(_pages(pack)))[:ITEMS_MAX]


def _search_data(pack: Pack) -> Iterator[Item]:
    for path in pack.entries:
        if not SEARCH_DATA.fullmatch(path) or pack.entries[path].size > DATA_MAX:
            continue
        text = pack.read(pack.entries[path])
        start = text.find(b"{")
        if not text.lstrip().startswith((b"searchData", b"{", b"[", b"window.")) or start < 0:
            continue
        try:
            value = msgspec.json.decode(text[start:].rstrip().rstrip(b";"))
        except (msgspec.DecodeError, RecursionError):
            continue
        rows = value.get("items") or value.get("data") if isinstance(value, dict) else None
        for row in rows[:ITEMS_MAX] if isinstance(rows, list) else ():
            item = _item(row)
            if item is not None:
                yield item


def _item(row: object) -> Item | None:
    if not isinstance(row, dict):
        return None
    title, ref = row.get("title"), row.get("ref")
    if not isinstance(title, str) or not isinstance(ref, str) or not _is_inside(ref):
        return None
    text = row.get("doc") or row.get("content") or ""
    parent = row.get("parentTitle")
    if isinstance(parent, str) and parent and parent not in title:
        title = f"{parent}.{title}"
    kind = row.get("type")
    return Item(
        kind=kind[:40] if isinstance(kind, str) else "page",
        ref=ref[:1000],
        title=title[:TITLE_MAX],
        text=_plain(text) if isinstance(text, str) else "",
    )


def _plain(text: str) -> str:
    """Markdown without its marks, as far as they would disturb a reader of a few words."""
    text = PICTURE_OR_LINK.sub(r"\1", text[: 4 * TEXT_MAX])
    return " ".join(MARKS.sub(" ", text).split())[:TEXT_MAX]


def _is_inside(ref: str) -> bool:
    """Whether a reference names a page of the archive and no other place."""
    path = ref.partition("#")[0].partition("?")[0]
    return not (":" in path or path.startswith(("/", "\\")) or ".." in path.split("/"))


def _pages(pack: Pack) -> Iterator[Item]:
    for path, entry in pack.entries.items():
        if not path.endswith(".html") or entry.size > PAGE_MAX:
            continue
        if path in ("404.html", "search.html"):
            continue
        reader = _Text()
        try:
            reader.feed(pack.read(entry).decode("utf-8", "replace"))
            reader.close()
        except AssertionError:
            continue
        title = " ".join("".join(reader.title).split()) or path
        yield Item(
            "page", path, title[:TITLE_MAX], " ".join("".join(reader.text).split())[:TEXT_MAX]
        )


class _Text(HTMLParser):
    """The title and the visible text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.title: list[str] = []
        self.text: list[str] = []
        self._length = 0
        self._quiet = 0
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "title":
            self._in_title = True
        elif tag in QUIET:
            self._quiet += 1
        elif tag == "body":
            self._quiet = 0

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        elif tag in QUIET:
            self._quiet = max(0, self._quiet - 1)

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data[:TITLE_MAX])
        elif not self._quiet and self._length < 2 * TEXT_MAX:
            self._length += len(data)
            self.text.append(data + " ")
