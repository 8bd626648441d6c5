"""Paths of a repository: which resource a path names (registry.md §1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from hexhub.errors import Malformed
from hexhub.formats.version import Version

Kind: TypeAlias = Literal[
    "names", "versions", "public_key", "packages", "tarballs", "docs", "policies"
]

NAME_MAX = 255  # characters
PATH_MAX = 1024

# Upper case: old public packages have it; publishing is stricter (tarball.md §8).
_NAME = re.compile(rf"[A-Za-z0-9_]{{1,{NAME_MAX}}}")
_POLICY = re.compile(r"[a-z0-9][a-z0-9_.-]{1,62}[a-z0-9]")  # registry.md §4


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of one repository; `name` and `version` are "" where the kind has none."""

    kind: Kind
    name: str = ""
    version: str = ""

    @property
    def path(self) -> str:
        """The path of the resource below its repository, without a leading slash, undoing `parse`."""
        match self.kind:
            case "names" | "versions" | "public_key":
                return self.kind
            case "packages" | "policies":
                return f"{self.kind}/{self.name}"
            case "tarballs":
                return f"tarballs/{self.name}-{self.version}.tar"
            case "docs":
                return f"docs/{self.name}-{self.version}.tar.gz"


def parse(path: str) -> Resource | None:
    """The resource of a decoded path below a repository (one leading slash allowed), or None."""
    if len(path) > PATH_MAX:
        return None
    match path.removeprefix("/").split("/"):
        case ["names"]:
            return Resource("names")
        case ["versions"]:
            return Resource("versions")
        case ["public_key"]:
            return Resource("public_key")
        case ["packages", name] if _NAME.fullmatch(name):
            return Resource("packages", name)
        case ["policies", name] if _POLICY.fullmatch(name):
            return Resource("policies", name)
        case ["tarballs", file]:
            return _archive("tarballs", file, ".tar")
        case ["docs", file]:
            return _archive("docs", file, ".tar.gz")
        case _:
            return None


def _archive(kind: Literal["tarballs", "docs"], file: str, suffix: str) -> Resource | None:
    # A name has no hyphen, so the first one ends it; a version may have many.
    name, _, version = file.removesuffix(suffix).partition("-")
    if not file.endswith(suffix) or not _NAME.fullmatch(name):
        return None
    try:
        Version.parse(version)
    except Malformed:
        return None
    return Resource(kind, name, version)
