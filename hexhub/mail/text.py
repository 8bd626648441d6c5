"""How each mail reads: a template is a subject, a blank line and paragraphs, with links on lines of
their own. The HTML is made from the same paragraphs, so that the two always say the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from html import escape

from jinja2 import Environment, PackageLoader, StrictUndefined, TemplateError

SUBJECT_PREFIX = "HexHub - "
VALUE_LENGTH_MAX = 2_000
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Written:
    """One mail, ready to be addressed."""

    subject: str
    text: str
    html: str


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("hexhub.mail"),
        undefined=StrictUndefined,
        trim_blocks=True,
        autoescape=False,
    )


def names() -> list[str]:
    """Every template."""
    return [name.removesuffix(".txt") for name in _templates().list_templates(extensions=["txt"])]


def write(template: str, values: Mapping[str, str], url: str) -> Written:
    """The mail of a template; `url` is the hub's base. Raises ValueError for one it cannot write.

    A value is one line: whoever chose it cannot add a header, a line, or a paragraph.
    """
    clean = {name: _one_line(value) for name, value in values.items()}
    try:
        rendered = _templates().get_template(f"{template}.txt").render(clean | {"url": url})
    except TemplateError as error:
        raise ValueError(f"template {template}: {error}") from error
    subject, _, body = rendered.strip().partition("\n")
    text = f"{body.strip()}\n\n-- \nHexHub at {url}\n"
    return Written(SUBJECT_PREFIX + subject.strip(), text, _html(text, subject, url))


def _one_line(value: object) -> str:
    return CONTROL.sub(" ", str(value)).strip()[:VALUE_LENGTH_MAX]


def _html(text: str, subject: str, url: str) -> str:
    paragraphs = [
        f"<p>{'<br>'.join(_linked(line, url) for line in paragraph.splitlines())}</p>"
        for paragraph in text.split("\n\n")
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(subject.strip())}</title></head>"
        f"<body>{''.join(paragraphs)}</body></html>"
    )


def _linked(line: str, url: str) -> str:
    """A line that is one of our own addresses is a link; an address in a name stays text."""
    shown = escape(line)
    own = line == url or line.startswith(f"{url}/")
    return f'<a href="{shown}">{shown}</a>' if own and " " not in line else shown
