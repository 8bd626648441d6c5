"""The search language of package lists: free text and `key:value` filters (http-api.md §3.6)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

TOKEN = re.compile(r'([^\s:"]+):(?:"([^"]*)"?|(\S*))|(\S+)')
FILTERS = ("name", "description", "depends", "build_tool", "updated_after")
LENGTH_MAX = 500
ANYWHERE_MIN = 3
"""Texts of so many characters match anywhere in a name, shorter ones only a whole name."""
STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "for",
        "from",
        "in",
        "is",
        "it",
        "of",
        "on",
        "or",
        "that",
        "the",
        "to",
        "with",
    ]
)
"""Words that say nothing about a package."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for. Empty parts ask for nothing."""

    text: str = ""
    name: str | None = None
    description: str | None = None
    depends: str | None = None
    build_tool: str | None = None
    updated_after: datetime | None = None
    extra: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Query:
        """Read a search as a person or a client writes it. Never fails."""
        whole, free = text[:LENGTH_MAX].strip(), []
        filters: dict[str, str] = {}
        extra: list[tuple[str, ...]] = []
        for key, quoted, plain, word in TOKEN.findall(whole):
            if word:
                free.append(word)
            elif key == "extra":
                parts = tuple((quoted or plain).split(","))
                if len(parts) < 2:
                    return cls(text=" ".join(whole.split()).lower())
                extra.append(parts)
            elif key in FILTERS:
                filters[key] = quoted or plain
        return cls(
            text=" ".join(free).lower(),
            name=filters.get("name"),
            description=filters.get("description"),
            depends=filters.get("depends"),
            build_tool=filters.get("build_tool"),
            updated_after=_time(filters.get("updated_after", "")),
            extra=tuple(extra),
        )


def _time(text: str) -> datetime | None:
    """Of zero offset, or a plain date; what else it may be is ignored."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    if found.tzinfo is None:
        return found.replace(tzinfo=UTC)
    return found if found.utcoffset() == timedelta() else None


def name_matches(name: str, wanted: str) -> bool:
    """Whether a name holds a text, or is one that is shorter than ANYWHERE_MIN."""
    return wanted in name if len(wanted) >= ANYWHERE_MIN else wanted == name


def pattern_matches(repository: str, name: str, pattern: str) -> bool:
    """A pattern with `*` at its start or end, else exact; `repository/name` too."""
    before, slash, after = pattern.rpartition("/")
    if slash and before != repository:
        return False
    core = after.strip("*")
    if after.startswith("*") and after.endswith("*"):
        return core in name
    if after.startswith("*"):
        return name.endswith(core)
    return name.startswith(core) if after.endswith("*") else name == core


def stems(text: str) -> frozenset[str]:
    """The words of a text, cut so that singular and plural meet."""
    words = "".join(char if char.isalnum() else " " for char in text.lower()).split()
    return frozenset(_stem(word) for word in words if word not in STOP_WORDS)


def _stem(word: str) -> str:
    """Enough English that singular and plural, and the forms of a verb, meet."""
    if word.endswith("ies"):
        word = word[:-3] + "y"
    elif word.endswith(("sses", "xes", "zes", "ches", "shes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def contains(extra: Mapping[str, Any], wanted: tuple[str, ...]) -> bool:
    """Whether `extra` holds the last part under the keys before it."""
    value: Any = extra
    for key in wanted[:-1]:
        if not isinstance(value, Mapping) or key not in value:
            return False
        value = value[key]
    values = value if isinstance(value, list) else [value]
    return any(_same(each, wanted[-1]) for each in values)


def _same(value: object, wanted: str) -> bool:
    """A text that is a whole number means the number."""
    if re.fullmatch(r"-?\d{1,18}", wanted):
        return isinstance(value, int) and not isinstance(value, bool) and value == int(wanted)
    return value == wanted
