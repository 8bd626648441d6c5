"""Checks of single values, with the texts that hexpm gives (http-api.md §1.13)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from hexhub.errors import Errors, Invalid

BLANK = "can't be blank"
RESERVED = "is reserved"
USERNAME = re.compile(r"[a-z0-9_\-.]+")
PACKAGE_NAME = re.compile(r"[a-z][a-z0-9_]*")
ORGANIZATION_NAME = re.compile(r"[a-z0-9_]+")
ADDRESS = re.compile(r"[^\s@\x00-\x1f\x7f]+@[^\s@\x00-\x1f\x7f]+\.[^\s@\x00-\x1f\x7f]+")

NAME_LENGTH_MAX = 128
ADDRESS_LENGTH_MAX = 254
PASSWORD_LENGTH_MAX = 1024
FULL_NAME_LENGTH_MAX = 255

RESERVED_USERNAMES = frozenset(["me", "hex", "hexpm", "elixir", "erlang", "otp"])

RESERVED_PACKAGES = frozenset(
    [
        "eex",
        "elixir",
        "elixirc",
        "ex_unit",
        "iex",
        "logger",
        "mix",
        "otp",
        "asn1",
        "common_test",
        "compiler",
        "crypto",
        "debugger",
        "dialyzer",
        "diameter",
        "edoc",
        "eldap",
        "erl_docgen",
        "erl_interface",
        "erts",
        "et",
        "eunit",
        "ftp",
        "hipe",
        "inets",
        "jinterface",
        "kernel",
        "megaco",
        "mnesia",
        "observer",
        "odbc",
        "os_mon",
        "parsetools",
        "public_key",
        "reltool",
        "runtime_tools",
        "sasl",
        "snmp",
        "ssh",
        "ssl",
        "stdlib",
        "syntax_tools",
        "toolbar",
        "tools",
        "typer",
        "wx",
        "xmerl",
        "tftp",
        "httpc",
        "httpd",
        "erlang",
        "to_erl",
        "run_erl",
        "escript",
        "erlc",
        "erl",
        "epmd",
        "ct_run",
        "rebar",
        "rebar3",
        "hex",
        "hexpm",
        "mix_hex",
        "net",
        "http",
        "net_http",
        "gen_http",
        "nul",
        "con",
        "prn",
        "aux",
        "com1",
        "com2",
        "com3",
        "com4",
        "com5",
        "com6",
        "com7",
        "com8",
        "com9",
        "lpt1",
        "lpt2",
        "lpt3",
        "lpt4",
        "lpt5",
        "lpt6",
        "lpt7",
        "lpt8",
        "lpt9",
        "package",
        "organization",
        "www",
        "myapp",
        "lock",
        "locked",
        "all",
        "assets",
        "api",
        "docs",
        "preview",
        "search",
        "staging",
        "stats",
        "static",
        "repos",
    ]
)
"""http-api.md §3.7; `repos` is ours, because the docs host serves `/repos/R/...`."""


def text(value: object) -> str | None:
    """A problem with a value that must be a text without NUL, or None."""
    if value is None or value == "":
        return BLANK
    if not isinstance(value, str):
        return "expected type string"
    return "is invalid" if "\0" in value else None


def username(value: object) -> str | None:
    """A problem with a user name, or None (http-api.md §3.2)."""
    return _name(value, USERNAME, 3, RESERVED_USERNAMES)


def package_name(value: object) -> str | None:
    """A problem with the name of a new package, or None (http-api.md §3.7)."""
    return _name(value, PACKAGE_NAME, 2, RESERVED_PACKAGES)


def organization_name(value: object) -> str | None:
    """A problem with the name of a new organization, or None (http-api.md §4.1)."""
    return _name(value, ORGANIZATION_NAME, 3, RESERVED_PACKAGES | RESERVED_USERNAMES)


def _name(
    value: object, form: re.Pattern[str], length_min: int, reserved: frozenset[str]
) -> str | None:
    if problem := text(value) or _length_problem(str(value), length_min, NAME_LENGTH_MAX):
        return problem
    if not form.fullmatch(str(value)):
        return "has invalid format"
    return "is reserved" if value in reserved else None


def _length_problem(value: str, length_min: int, length_max: int) -> str | None:
    if len(value) < length_min:
        return f"should be at least {length_min} character(s)"
    return f"should be at most {length_max} character(s)" if len(value) > length_max else None


def address(value: object) -> str | None:
    """A problem with an e-mail address, or None."""
    if problem := text(value) or _length_problem(str(value), 0, ADDRESS_LENGTH_MAX):
        return problem
    return None if ADDRESS.fullmatch(str(value)) else "has invalid format"


def full_name(value: object) -> str | None:
    """A problem with a person's name, or None."""
    return text(value) or _length_problem(str(value), 0, FULL_NAME_LENGTH_MAX)


def password(value: object) -> str | None:
    """A problem with a new password, or None."""
    return text(value) or _length_problem(str(value), 8, PASSWORD_LENGTH_MAX)


def check(checks: Mapping[str, str | Errors | None]) -> None:
    """Raise Invalid with every field that has a problem."""
    errors: dict[str, str | Errors] = {
        field: problem for field, problem in checks.items() if problem
    }
    if errors:
        raise Invalid(errors)


def strings(value: object, check_each: Callable[[str], str | None] | None = None) -> str | None:
    """A problem with a list of texts, or None."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return "expected type list(string)"
    if check_each is None:
        return None
    return next((problem for item in value if (problem := check_each(item))), None)
