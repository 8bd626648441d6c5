"""Source text with colours: spans with short class names and nothing else."""

from __future__ import annotations

from html import escape
from pathlib import PurePosixPath

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
from pygments.token import STANDARD_TYPES
from pygments.util import ClassNotFound

HIGHLIGHTED_MAX = 400_000
"""Longer texts, in characters, are shown without colours."""

BY_NAME = {
    "rebar.config": "erlang",
    "rebar.lock": "erlang",
    "mix.lock": "elixir",
    "gleam.toml": "toml",
    "Makefile": "make",
    "Dockerfile": "docker",
}
BY_SUFFIX = {
    ".app.src": "erlang",
    ".hrl": "erlang",
    ".heex": "html",
    ".eex": "html",
    ".leex": "html",
    ".gleam": "gleam",
}


def lexer(name: str) -> Lexer | None:
    """The lexer for a file name; None for plain text."""
    base = PurePosixPath(name).name
    try:
        if base in BY_NAME:
            return get_lexer_by_name(BY_NAME[base])
        for suffix, language in BY_SUFFIX.items():
            if base.endswith(suffix):
                return get_lexer_by_name(language)
        return get_lexer_for_filename(base)
    except (ClassNotFound, ValueError):
        return None


def by_language(language: str) -> Lexer | None:
    """The lexer for the word after a code fence; None for an unknown one."""
    try:
        return get_lexer_by_name(language)
    except (ClassNotFound, ValueError):
        return None


def coloured(text: str, with_lexer: Lexer | None) -> str:
    """A text as HTML; no span goes across a line end."""
    if with_lexer is None or len(text) > HIGHLIGHTED_MAX:
        return escape(text)
    with_lexer.stripnl = False
    with_lexer.ensurenl = False
    parts = []
    for kind, value in with_lexer.get_tokens(text):
        name = STANDARD_TYPES.get(kind) or STANDARD_TYPES.get(kind.parent or kind, "")
        for number, piece in enumerate(value.split("\n")):
            if number:
                parts.append("\n")
            if piece:
                shown = escape(piece)
                parts.append(f'<span class="{name}">{shown}</span>' if name else shown)
    return "".join(parts)


def lines(text: str, name: str) -> list[str]:
    """The lines of a file, each as HTML."""
    found = coloured(text, lexer(name)).split("\n")
    return found[:-1] if found and found[-1] == "" else found
