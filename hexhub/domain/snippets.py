"""The lines that bring a package into a project, for each build tool (http-api.md §3.0, snippets)."""

from __future__ import annotations

import re

from hexhub.formats.version import Version
from hexhub.schema import PUBLIC

PLAIN_ATOM = re.compile(r"[a-z][A-Za-z0-9_]*")


def configs(repository: str, name: str, app: str, version: str) -> dict[str, object]:
    """The lines that the API carries: `mix.exs`, `rebar.config`, `erlang.mk`."""
    where = "" if repository == PUBLIC else f', organization: "{repository}"'
    return {
        "mix.exs": _mix(name, app, version, where),
        "rebar.config": rebar(name, app, version),
        "erlang.mk": erlang_mk(name, version),
    }


def mix(repository: str, name: str, app: str, version: str) -> str:
    """For a client that knows this hub as `hub` (clients.md §3.1)."""
    where = "" if repository == PUBLIC else f', repo: "hub:{repository}"'
    return _mix(name, app, version, where)


def _mix(name: str, app: str, version: str, where: str) -> str:
    other = f", hex: {_mix_atom(name)}" if app != name else ""
    return f'{{{_mix_atom(app)}, "{mix_requirement(version)}"{other}{where}}}'


def rebar(name: str, app: str, version: str) -> str:
    """A dependency of rebar3."""
    if app != name:
        return f'{{{_erlang_atom(app)}, "{version}", {{pkg, {name}}}}}'
    return f'{{{name}, "{version}"}}'


def erlang_mk(name: str, version: str) -> str:
    """A dependency of erlang.mk."""
    return f"dep_{name} = hex {version}"


def gleam(name: str, version: str) -> str:
    """A dependency in gleam.toml: up to the next version that may break."""
    parsed = Version.parse(version)
    plain = version.partition("+")[0]
    above = f"{parsed.major + 1}.0.0" if parsed.major else f"0.{parsed.minor + 1}.0"
    return f'{name} = ">= {plain} and < {above}"'


def _mix_atom(name: str) -> str:
    return f":{name}" if PLAIN_ATOM.fullmatch(name) else f':"{name}"'


def _erlang_atom(name: str) -> str:
    return name if PLAIN_ATOM.fullmatch(name) else f"'{name}'"


def mix_requirement(version: str) -> str:
    """`~> 1.2`, `~> 0.1.2`, or the whole version for a pre-release."""
    parsed = Version.parse(version)
    if parsed.pre:
        return f"~> {version.partition('+')[0]}"
    if parsed.major == 0:
        return f"~> 0.{parsed.minor}.{parsed.patch}"
    return f"~> {parsed.major}.{parsed.minor}"
