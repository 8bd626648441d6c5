"""The API reference, drawn from the hub's own OpenAPI description; nothing is asked of anybody else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

REPOSITORY = "/repos/{repository}"
METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Operation:
    """One call: what it needs and what it answers. `also_private`: there for repositories too."""

    method: str
    path: str
    summary: str
    description: str
    parameters: list[tuple[str, str, str]]
    fields: list[str]
    answers: list[tuple[str, str]]
    also_private: bool


@dataclass(slots=True)
class Section:
    """The calls about one thing."""

    name: str
    operations: list[Operation] = field(default_factory=list)


async def sections() -> list[Section]:
    """Every call by what it is about; read once, on a thread."""
    return await asyncio.to_thread(_sections)


@cache
def _sections() -> list[Section]:
    import yaml

    text = resources.files("hexhub.sites.api").joinpath("hex-api.yaml").read_text("utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document: dict[str, Any] = yaml.load(text, Loader=loader)
    found = {tag["name"]: Section(tag["name"].replace("_", " ")) for tag in document["tags"]}
    paths = document["paths"]
    for path, methods in paths.items():
        if path.startswith(f"{REPOSITORY}/") and path.removeprefix(REPOSITORY) in paths:
            continue
        for method in METHODS:
            if method in methods:
                operation = methods[method]
                shared = methods.get("parameters", [])
                name = operation.get("tags", ["index"])[0]
                section = found.setdefault(name, Section(name))
                section.operations.append(
                    _operation(
                        document, method, path, operation, shared, REPOSITORY + path in paths
                    )
                )
    return [section for section in found.values() if section.operations]


def _operation(
    document: Mapping[str, Any],
    method: str,
    path: str,
    operation: Mapping[str, Any],
    shared: list[Any],
    also_private: bool,
) -> Operation:
    parameters = [_resolved(document, each) for each in [*shared, *operation.get("parameters", [])]]
    answers = [
        (status, str(_resolved(document, each).get("description", "")).strip())
        for status, each in operation.get("responses", {}).items()
    ]
    return Operation(
        method.upper(),
        path,
        str(operation.get("summary", "")),
        str(operation.get("description", "")),
        [
            (str(each.get("name")), str(each.get("in")), str(each.get("description", "")))
            for each in parameters
        ],
        _fields(document, operation.get("requestBody")),
        [each for each in answers if each[0][0] == "2" or each[0] in ("302", "404", "422")],
        also_private,
    )


def _fields(document: Mapping[str, Any], body: object) -> list[str]:
    """The names that a body may carry."""
    content = _resolved(document, body).get("content", {})
    for described in content.values():
        schema = _resolved(document, described.get("schema"))
        if schema.get("properties"):
            return list(schema["properties"])
    return []


def _resolved(document: Mapping[str, Any], value: object) -> Mapping[str, Any]:
    """What a `$ref` stands for."""
    for _ in range(5):
        if not isinstance(value, Mapping):
            return {}
        if "$ref" not in value:
            return value
        found: Any = document
        for part in str(value["$ref"]).removeprefix("#/").split("/"):
            found = found.get(part, {}) if isinstance(found, Mapping) else {}
        value = found
    return {}
