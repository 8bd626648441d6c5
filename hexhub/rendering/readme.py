"""A README as HTML that may stand on a page of the hub, whatever its author had in mind.

Markdown becomes HTML, addresses in it are brought home, and the last step is a sanitizer with a
short list of what may stay. Pictures come from the package itself; one on another host is fetched
by the hub or becomes a link, so that reading a page tells nobody.
"""

from __future__ import annotations

import re
from html import escape
from html.parser import HTMLParser
from pathlib import PurePosixPath
from posixpath import normpath
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

import nh3
from markdown_it import MarkdownIt
from mdit_py_plugins.anchors import anchors_plugin
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.tasklists import tasklists_plugin
from pygments.token import STANDARD_TYPES

from hexhub.rendering import highlight

NESTING_MAX = 60
"""Deeper Markdown is shown as it was written."""

_TAGS = (
    "a abbr b blockquote br caption code dd del details div dl dt em figcaption figure h1 h2 h3 h4 "
    "h5 h6 hr i img input ins kbd li mark ol p picture pre q s samp section small span strong sub "
    "summary sup table tbody td tfoot th thead tr u ul var"
)
TAGS = set(_TAGS.split())
ATTRIBUTES = {
    "a": {"href", "title", "id"},
    "img": {"src", "alt", "title", "width", "height", "loading"},
    "input": {"type", "checked", "disabled"},
    "td": {"align", "colspan", "rowspan"},
    "th": {"align", "colspan", "rowspan"},
    "ol": {"start"},
    "details": {"open"},
} | {f"h{level}": {"id"} for level in range(1, 7)}
CLASSES = {"span": {name for name in STANDARD_TYPES.values() if name}}
SCHEMES = {"http", "https", "mailto"}
VOID = {"br", "hr", "img", "input"}
PICTURES_MAX = 100
"""Pictures of other hosts on one page; further ones become links."""
MARKDOWN = {".md", ".markdown", ".livemd", ""}


class Drawn(NamedTuple):
    """A README as HTML, and the addresses of its pictures on other hosts, by their number in it."""

    html: str
    pictures: list[str]


def _markdown() -> MarkdownIt:
    def coloured(text: str, language: str, _: str) -> str:
        return highlight.coloured(text, highlight.by_language(language) if language else None)

    made = MarkdownIt(
        "commonmark", {"html": True, "maxNesting": NESTING_MAX, "highlight": coloured}
    )
    return (
        made.enable(["table", "strikethrough"])
        .use(anchors_plugin, max_level=6)
        .use(footnote_plugin)
        .use(tasklists_plugin)
    )


class _Home(HTMLParser):
    """Writes HTML again with its addresses made absolute paths of this package."""

    def __init__(self, folder: str, files: str, raw: str, pictures: str | None) -> None:
        super().__init__(convert_charrefs=False)
        self._folder, self._files, self._raw, self._pictures = folder, files, raw, pictures
        self.outside: list[str] = []
        self._links = 0
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "img":
            self._picture(values)
            return
        if tag == "a":
            self._links += 1
            if "href" in values:
                values["href"] = self._address(values["href"], self._files)
        for name in ("id", "name"):
            if values.get(name):
                values["id"] = "readme-" + values[name]
        if tag == "input" and values.get("type") != "checkbox":
            return
        written = "".join(f' {name}="{escape(value)}"' for name, value in values.items())
        self.parts.append(f"<{tag}{written}>")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._links = max(0, self._links - 1)
        self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.parts.append(escape(data, quote=False))

    def handle_entityref(self, name: str) -> None:
        self.parts.append(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.parts.append(f"&#{name};")

    def _picture(self, values: dict[str, str]) -> None:
        source, words = values.get("src", "").strip(), values.get("alt", "")
        if not _is_elsewhere(source):
            self._draw(values, self._address(source, self._raw))
            return
        if source.startswith("//"):
            source = f"https:{source}"
        shown = escape(words or "picture")
        if not _is_web(source):
            self.parts.append(shown)
        elif self._pictures is not None and len(self.outside) < PICTURES_MAX:
            self._draw(values, f"{self._pictures}/{len(self.outside)}")
            self.outside.append(source)
        elif self._links:
            self.parts.append(shown)
        else:
            self.parts.append(f'<a href="{escape(source)}">{shown}</a>')

    def _draw(self, values: dict[str, str], address: str) -> None:
        kept = {"src": address, "alt": values.get("alt", ""), "loading": "lazy"}
        kept |= {name: values[name] for name in ("title", "width", "height") if name in values}
        written = "".join(f' {name}="{escape(value)}"' for name, value in kept.items())
        self.parts.append(f"<img{written}>")

    def _address(self, address: str, base: str) -> str:
        if address.startswith("#"):
            return "#readme-" + address[1:]
        if _is_elsewhere(address):
            return address
        path, mark, fragment = address.partition("#")
        inside = normpath("/" + self._folder + "/" + unquote(path.partition("?")[0])).lstrip("/")
        return f"{base}/{quote(inside)}{mark}{fragment}"


def _is_elsewhere(address: str) -> bool:
    try:
        parts = urlsplit(address.strip())
    except ValueError:
        return True
    return bool(parts.scheme or parts.netloc) or address.lstrip().startswith(("//", "\\"))


def _is_web(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def draw(text: str, path: str, files: str, raw: str, pictures: str | None = None) -> Drawn:
    """A README at `path`; `files` and `raw` are where its package's files are shown.

    `pictures` is where those of other hosts are given, by number; without it they become links.
    """
    if PurePosixPath(path).suffix.lower() in MARKDOWN:
        html = _markdown().render(text)
    else:
        html = f"<pre>{escape(text)}</pre>"
    home = _Home(str(PurePosixPath(path).parent), files, raw, pictures)
    home.feed(html)
    home.close()
    cleaned = nh3.clean(
        "".join(home.parts),
        tags=TAGS,
        clean_content_tags={"script", "style", "svg", "math", "iframe", "object", "template"},
        attributes={tag: set(names) for tag, names in ATTRIBUTES.items()},
        allowed_classes=CLASSES,
        url_schemes=SCHEMES,
        link_rel="nofollow noopener noreferrer ugc",
        strip_comments=True,
    )
    return Drawn(_accessible(cleaned), home.outside)


def _accessible(html: str) -> str:
    """Boxes of task lists get a name, headings step down one level below the page's own."""
    html = html.replace('<input type="checkbox"', '<input aria-label="task" type="checkbox"')
    html = re.sub(r"<input (?![^>]*aria-label)", '<input aria-label="task" ', html)
    for scrolling in ("pre", "table"):
        html = html.replace(f"<{scrolling}>", f'<{scrolling} tabindex="0">')
    return re.sub(r"<(/?)h([1-6])\b", lambda m: f"<{m[1]}h{min(6, int(m[2]) + 1)}", html)
