"""Lock files of mix, rebar3 and Gleam: which packages a project needs, as plain values.

Read by their shape and never evaluated. An entry that is no Hex package is named, not dropped.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass

from hexhub.errors import Malformed

SIZE_MAX = 4 * 1024 * 1024  # characters

_MIX_HEX = re.compile(
    r'\s*"[^"]+":\s*\{:hex,\s*:"?(?P<name>[A-Za-z0-9_]+)"?,\s*"(?P<version>[^"]+)"(?P<rest>.*)'
)
_MIX_OTHER = re.compile(r'\s*"(?P<name>[^"]+)":\s*\{:(?P<source>[a-z]+)')
_MIX_END = re.compile(r'"(?P<repository>[^"]+)"(?:,\s*"(?P<checksum>[0-9a-f]{64})")?\},?\s*')
_REBAR_HEX = re.compile(
    r'<<"(?P<app>[^"]+)">>,\s*\{pkg,\s*<<"(?P<name>[^"]+)">>,\s*<<"(?P<version>[^"]+)">>'
)
_REBAR_OTHER = re.compile(r'<<"(?P<name>[^"]+)">>,\s*\{(?P<source>git|hg|git_subdir|raw)\b')
_REBAR_SUM = re.compile(r'\{<<"(?P<app>[^"]+)">>,\s*<<"(?P<checksum>[0-9A-Fa-f]{64})">>\}')


@dataclass(frozen=True, slots=True)
class Locked:
    """A release that a project needs; `checksum` is the outer one in lower-case hex, if told."""

    name: str
    version: str
    repository: str = "hexpm"
    checksum: str | None = None


@dataclass(frozen=True, slots=True)
class Lock:
    """What a lock file says; `other` are dependencies that come from elsewhere, as `name (git)`."""

    releases: tuple[Locked, ...]
    other: tuple[str, ...]


def parse(name: str, text: str) -> Lock:
    """Read `mix.lock`, `rebar.lock` or `manifest.toml`; which one, its name says. Raises Malformed."""
    if len(text) > SIZE_MAX:
        raise Malformed("lock file: too big")
    if name.endswith(".toml"):
        return _gleam(text)
    if text.lstrip().startswith("%{"):
        return _mix(text)
    if text.lstrip().startswith(("{", "[")):
        return _rebar(text)
    raise Malformed("lock file: neither mix.lock nor rebar.lock nor manifest.toml")


def _mix(text: str) -> Lock:
    releases, other = [], []
    for line in text.splitlines():
        if match := _MIX_HEX.match(line):
            end = _MIX_END.search(match["rest"])
            while end is not None and end.end() != len(match["rest"]):
                end = _MIX_END.search(match["rest"], end.end())
            releases.append(
                Locked(
                    match["name"],
                    match["version"],
                    end["repository"] if end else "hexpm",
                    end["checksum"] if end else None,
                )
            )
        elif match := _MIX_OTHER.match(line):
            other.append(f"{match['name']} ({match['source']})")
        elif line.strip() not in ("", "%{", "}", "%{}"):
            raise Malformed(f"mix.lock: not an entry: {line.strip()[:60]}")
    return Lock(tuple(releases), tuple(other))


def _rebar(text: str) -> Lock:
    outer = text.partition("pkg_hash_ext")[2]
    sums = {match["app"]: match["checksum"].lower() for match in _REBAR_SUM.finditer(outer)}
    releases = tuple(
        Locked(match["name"], match["version"], checksum=sums.get(match["app"]))
        for match in _REBAR_HEX.finditer(text)
    )
    other = tuple(f"{match['name']} ({match['source']})" for match in _REBAR_OTHER.finditer(text))
    return Lock(releases, other)


def _gleam(text: str) -> Lock:
    try:
        packages = tomllib.loads(text).get("packages", [])
    except (tomllib.TOMLDecodeError, RecursionError):
        raise Malformed("manifest.toml: not TOML") from None
    releases, other = [], []
    if not isinstance(packages, list) or not all(isinstance(each, dict) for each in packages):
        raise Malformed("manifest.toml: packages must be a list of tables")
    for package in packages:
        name, version = package.get("name"), package.get("version")
        if not isinstance(name, str) or not isinstance(version, str):
            raise Malformed("manifest.toml: a package without name or version")
        if package.get("source") != "hex":
            other.append(f"{name} ({package.get('source')})")
            continue
        checksum = package.get("outer_checksum")
        told = checksum.lower() if isinstance(checksum, str) else None
        releases.append(Locked(name, version, checksum=told))
    return Lock(tuple(releases), tuple(other))
