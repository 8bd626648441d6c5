"""Where the golden files are and how their JSON spells Erlang values (golden/README.md)."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parents[2] / "golden"

NOTHING = frozenset({"undefined", "nil", "null", "none"})


def load(name: str) -> Any:
    """The parsed JSON file `name` of the golden directory."""
    return json.loads((GOLDEN / name).read_text("utf-8"))


def read(name: str) -> bytes:
    """The bytes of the golden file `name`."""
    return (GOLDEN / name).read_bytes()


class UnknownAtom(Exception):
    """The golden value holds an atom that only some Erlang nodes know."""


def value(spelled: Any) -> Any:
    """The Python value of a golden JSON value. Raises UnknownAtom."""
    if isinstance(spelled, list):
        return [value(each) for each in spelled]
    if not isinstance(spelled, dict):
        return spelled
    if spelled.keys() == {"$bytes"}:
        return base64.b64decode(spelled["$bytes"])
    if spelled.keys() == {"$int"}:
        return int(spelled["$int"])
    if spelled.keys() == {"$tuple"}:
        return tuple(value(each) for each in spelled["$tuple"])
    if spelled.keys() == {"$map"}:
        return {freeze(value(key)): value(each) for key, each in spelled["$map"]}
    if spelled.keys() == {"$atom"}:
        if spelled["$atom"] in NOTHING:
            return None
        raise UnknownAtom(spelled["$atom"])
    return {key: value(each) for key, each in spelled.items()}


def freeze(key: Any) -> Any:
    """A list as a tuple, so that it can stand as a key of a dict."""
    return tuple(freeze(each) for each in key) if isinstance(key, list) else key
