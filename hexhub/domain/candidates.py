"""A release that wants to be published: its metadata, checked stage by stage.

The stages and texts are those of http-api.md §3.7 and tarball.md §8: first the package, then the
release. What needs the tables (owners, dependencies, windows) is checked in `releases`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from hexhub.domain import rules
from hexhub.errors import Errors, Malformed
from hexhub.formats import spdx
from hexhub.formats.tarball import Tarball
from hexhub.formats.version import Requirement as VersionRequirement, Version
from hexhub.schema import PUBLIC, PackageMeta, Requirement

NUMBER_MAX = 99_999_999_999_999
PRE_LENGTH_MAX = 64
REQUIREMENTS_MAX = 1000
TEXT_LENGTH_MAX = 65_536
LINK_LENGTH_MAX = 4_096
INTEGER_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What a tarball says about its package and release, known to be well-formed."""

    name: str
    version: str
    meta: PackageMeta
    app: str
    build_tools: tuple[str, ...]
    elixir: str | None
    requirements: tuple[Requirement, ...]
    inner_checksum: bytes
    outer_checksum: bytes
    size: int


def check(tarball: Tarball, repository: str, *, new: bool) -> Candidate:
    """Check everything about a release that needs no table. Raises Invalid.

    `new`: its package does not exist yet, so that its name must not be a reserved one.
    """
    metadata = tarball.metadata
    name_problem = rules.package_name(metadata.get("name"))
    rules.check(
        {
            "name": name_problem if new or name_problem != rules.RESERVED else None,
            "meta": _package_meta_problems(metadata, repository),
        }
    )
    requirements, requirement_problems = _requirements(metadata.get("requirements"), repository)
    rules.check(
        {
            "version": _version_problem(metadata.get("version")),
            "meta": _release_meta_problems(metadata),
            "requirements": requirement_problems,
        }
    )
    return Candidate(
        name=str(metadata["name"]),
        version=str(Version.parse(str(metadata["version"]))),
        meta=_meta(metadata),
        app=str(metadata["app"]),
        build_tools=tuple(dict.fromkeys(_list(metadata["build_tools"]))),
        elixir=_optional(metadata.get("elixir")),
        requirements=requirements,
        inner_checksum=tarball.inner_checksum,
        outer_checksum=tarball.outer_checksum,
        size=tarball.size,
    )


def _package_meta_problems(metadata: dict[str, object], repository: str) -> Errors | None:
    public = repository == PUBLIC
    description, licenses = metadata.get("description"), metadata.get("licenses")
    problems = {
        "description": _text_problem(description, required=public),
        "licenses": _licenses_problem(licenses, public),
        "links": _links_problem(metadata.get("links")),
        "maintainers": _maintainers_problem(metadata.get("maintainers")),
        "extra": None
        if isinstance(metadata.get("extra", {}), dict)
        else "expected type map(string)",
    }
    return {field: problem for field, problem in problems.items() if problem} or None


def _text_problem(value: object, *, required: bool) -> str | None:
    if value in (None, ""):
        return rules.BLANK if required else None
    problem = rules.text(value)
    if problem is None and len(str(value)) > TEXT_LENGTH_MAX:
        return f"should be at most {TEXT_LENGTH_MAX} character(s)"
    return problem


def _licenses_problem(licenses: object, public: bool) -> str | None:
    if licenses is None:
        return rules.BLANK if public else None

    def known(license: str) -> str | None:
        return None if spdx.is_license(license) else f'invalid license "{license[:200]}"'

    return rules.strings(licenses, known if public else None)


def _links_problem(links: object) -> str | None:
    if links in (None, []):
        return None
    if not isinstance(links, dict) or not all(
        isinstance(name, str) and isinstance(url, str) for name, url in links.items()
    ):
        return "expected type map(string)"
    bad = next((url for url in links.values() if not _is_web_address(url)), None)
    return None if bad is None else f'invalid link "{bad[:200]}"'


def _is_web_address(url: str) -> bool:
    if len(url) > LINK_LENGTH_MAX or any(ord(char) <= 32 for char in url):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _maintainers_problem(value: object) -> str | None:
    return None if value is None else rules.strings(value)


def _version_problem(value: object) -> str | None:
    if problem := rules.text(value):
        return problem
    try:
        version = Version.parse(str(value))
    except Malformed:
        return "is invalid SemVer"
    if version.build:
        return "build number not allowed"
    numbers = [version.major, version.minor, version.patch]
    numbers += [part for part in version.pre if isinstance(part, int)]
    if max(numbers) > NUMBER_MAX:
        return f"numeric components must be at most {NUMBER_MAX}"
    if len(".".join(str(part) for part in version.pre).encode()) > PRE_LENGTH_MAX:
        return f"prerelease must be at most {PRE_LENGTH_MAX} characters"
    return None


def _release_meta_problems(metadata: dict[str, object]) -> Errors | None:
    files, tools = metadata.get("files"), metadata.get("build_tools")
    problems = {
        "app": _text_problem(metadata.get("app"), required=True),
        "build_tools": rules.BLANK if tools in (None, []) else rules.strings(tools),
        "files": _files_problem(files),
        "elixir": _elixir_problem(metadata.get("elixir")),
    }
    return {field: problem for field, problem in problems.items() if problem} or None


def _files_problem(files: object) -> str | None:
    if files is None:
        return rules.BLANK
    return "package can't be empty" if files == [] else rules.strings(files)


def _elixir_problem(value: object) -> str | None:
    if _optional(value) is None:
        return None
    if not isinstance(value, str):
        return "expected type string"
    return None if _is_requirement(value) else f'invalid requirement: "{value[:200]}"'


def _is_requirement(text: str) -> bool:
    try:
        VersionRequirement.parse(text)
    except Malformed:
        return False
    return True


def _requirements(
    value: object, repository: str
) -> tuple[tuple[Requirement, ...], dict[str, str] | None]:
    if value in (None, [], {}):
        return (), None
    if not isinstance(value, dict) or len(value) > REQUIREMENTS_MAX:
        return (), {"requirements": f"expected type map(map), at most {REQUIREMENTS_MAX} entries"}
    found: list[Requirement] = []
    problems: dict[str, str] = {}
    for name, fields in value.items():
        outcome = _requirement(name, fields, repository)
        if isinstance(outcome, Requirement):
            found.append(outcome)
        else:
            problems[str(name)[:200]] = outcome
    found.sort(key=lambda r: (r.repository, r.package))
    return tuple(found), problems or None


def _requirement(name: object, fields: object, repository: str) -> Requirement | str:
    """A requirement, or what is wrong with it (texts of tarball.md §8)."""
    if not isinstance(fields, dict):
        return "expected type map"
    source = _optional(fields.get("repository")) or PUBLIC
    app, optional = fields.get("app"), _optional(fields.get("optional"))
    if not isinstance(name, str) or rules.package_name(name) not in (None, "is reserved"):
        return f'package does not exist in repository "{str(source)[:200]}"'
    if app in (None, "") or not isinstance(app, str) or len(app) > rules.NAME_LENGTH_MAX:
        return rules.BLANK if app in (None, "") else "expected type string"
    if optional not in (None, True, False):
        return "expected type boolean"
    if problem := _requirement_problem(fields.get("requirement")):
        return problem
    # A client that knows this hub as "hub" writes "hub:acme" for the organization acme.
    source = str(source).rpartition(":")[2]
    if source not in (PUBLIC, repository):
        allowed = f'public repository "{PUBLIC}"'
        if repository != PUBLIC:
            allowed += f' or current repository "{repository}"'
        return f'dependencies can only belong to {allowed}, got: "{source[:200]}"'
    return Requirement(
        repository=source,
        package=name,
        app=app,
        requirement=str(fields["requirement"]),
        optional=bool(optional),
    )


def _requirement_problem(value: object) -> str | None:
    if _optional(value) is None:
        return 'invalid requirement: nil, use ">= 0.0.0" instead'
    if not isinstance(value, str) or not _is_requirement(value):
        return f'invalid requirement: "{str(value)[:200]}"'
    if "!=" in value:
        return f'invalid requirement: "{value[:200]}", != is not allowed in requirements'
    return None


def _meta(metadata: dict[str, object]) -> PackageMeta:
    links, extra = metadata.get("links"), metadata.get("extra")
    return PackageMeta(
        description=_optional(metadata.get("description")),
        licenses=tuple(_list(metadata.get("licenses"))),
        links=dict(links) if isinstance(links, dict) else {},
        maintainers=tuple(_list(metadata.get("maintainers"))),
        extra={str(key): _plain(item) for key, item in extra.items()}
        if isinstance(extra, dict)
        else {},
    )


def _plain(value: object) -> object:
    """A term as JSON could hold it: the `extra` metadata may be any Erlang term."""
    match value:
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case bytes():
            return value.decode("latin-1")
        case int() if abs(value) > INTEGER_MAX:
            return str(value)
    return value


def _list(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _optional(value: object) -> Any:
    """Some encoders write an absent value as the text "nil" (tarball.md §6)."""
    return None if value in (None, "", "nil") else value
