"""The search language of package lists: free text and `key:value` filters (http-api.md §3.6)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

TOKEN = re.compile(r'([^\s:"]+):(?:"([^"]*)"?|(\S*))|(\S+)')
FILTERS = ("name", "description", "depends", "build_tool", "updated_after")
LENGTH_MAX = 500


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
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def name_matches(name: str, wanted: str) -> bool:
    """Texts of three and more characters match anywhere, shorter ones only exactly."""
    return wanted in name if len(wanted) >= 3 else wanted == name


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
    return frozenset(_stem(word) for word in words)


def _stem(word: str) -> str:
    for ending in ("ing", "ies", "es", "ed", "s", "y"):
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
    return any(str(each) == wanted[-1] for each in values)
