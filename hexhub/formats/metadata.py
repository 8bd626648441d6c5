"""Package metadata: the spellings of publishing tools brought to one form (tarball.md §5, "Normalisation")."""

from __future__ import annotations

from typing import TypeGuard

from hexhub.errors import Malformed

_TOOL_OF_FILE = {
    "mix.exs": "mix",
    "rebar.config": "rebar3",
    "rebar": "rebar3",
    "Makefile": "make",
    "Makefile.win": "make",
}


def normalize(metadata: dict[str, object]) -> dict[str, object]:
    """A copy with maps for pair lists in requirements, links and extra, and build_tools guessed. Raises Malformed."""
    normal = dict(metadata)
    if "requirements" in normal:
        normal["requirements"] = _requirements(normal["requirements"])
    if "links" in normal and _is_pairs(normal["links"]):
        normal["links"] = _map(normal["links"])
    if "extra" in normal:
        normal["extra"] = _deep(normal["extra"])
    if not isinstance(normal.get("build_tools"), list) and "files" in normal:
        normal["build_tools"] = _guess_build_tools(normal["files"])
    return normal


def _requirements(value: object) -> object:
    if isinstance(value, list) and value and isinstance(value[0], list):
        return dict(map(_legacy_requirement, value))
    if _is_pairs(value):
        return {
            name: _map(details) if _is_pairs(details) else details
            for name, details in _map(value).items()
        }
    return value


def _legacy_requirement(element: object) -> tuple[str, dict[str, object]]:
    if not _is_pairs(element):
        raise Malformed("requirements: an element is not a list of pairs")
    details = _map(element)
    name = details.pop("name", None)
    if not isinstance(name, str):
        raise Malformed("requirements: an element has no name")
    return name, details


def _deep(value: object) -> object:
    if not _is_pairs(value):
        return value
    return {key: _deep(inner) for key, inner in _map(value).items()}


def _guess_build_tools(files: object) -> list[str]:
    if not isinstance(files, list) or not all(isinstance(file, str | bytes) for file in files):
        raise Malformed("files: not a list of texts")
    return sorted({_TOOL_OF_FILE[file] for file in files if file in _TOOL_OF_FILE})


def _is_pairs(value: object) -> TypeGuard[list[tuple[object, object]]]:
    return isinstance(value, list) and all(
        isinstance(each, tuple) and len(each) == 2 for each in value
    )


def _map(pairs: list[tuple[object, object]]) -> dict[str, object]:
    result: dict[str, object] = {}
    for key, value in pairs:
        if not isinstance(key, str):
            raise Malformed("a key of the metadata is not text")
        result[key] = value
    return result
