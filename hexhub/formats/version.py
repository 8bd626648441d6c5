"""Versions and requirements as Elixir's `Version` reads, orders and matches them (tarball.md §9)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, total_ordering
from typing import Literal, TypeAlias

from hexhub.errors import Malformed
from hexhub.formats.quoted import quoted

TEXT_MAX = 1024  # characters; also keeps int() of a hostile number cheap
KEYS_MAX = 8192  # versions whose order is remembered: packages share most of theirs

Operator: TypeAlias = Literal["==", "!=", ">", ">=", "<", "<=", "~>"]
SortKey: TypeAlias = tuple[int, int, int, int, tuple[tuple[int, int, str], ...]]

_NUMBER = "(0|[1-9][0-9]*)"
_IDS = r"([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)"
_VERSION = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_IDS})?(?:\+{_IDS})?")
_PESSIMISTIC = re.compile(rf"{_NUMBER}\.{_NUMBER}(?:\.{_NUMBER})?(?:-{_IDS})?(?:\+{_IDS})?")
_CONDITION = re.compile(r" *(==|!=|!|>=|<=|>|<|~>)? *([0-9A-Za-z.+-]+)")
_JOINER = re.compile(" +(and|or)(?= )")


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """One version. `pre` holds numbers and texts; `build` takes no part in order or equality."""

    major: int
    minor: int
    patch: int
    pre: tuple[int | str, ...] = ()
    build: str | None = None

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read `MAJOR.MINOR.PATCH[-PRE][+BUILD]`. Raises Malformed."""
        match = _VERSION.fullmatch(text) if len(text) <= TEXT_MAX else None
        if match is None:
            raise Malformed(f"invalid version: {quoted(text)}")
        return _version(match, text)

    @property
    def sort_key(self) -> SortKey:
        """A key that orders like the version itself: numbers below texts, pre-releases below their release."""
        pre = tuple((0, each, "") if isinstance(each, int) else (1, 0, each) for each in self.pre)
        return (self.major, self.minor, self.patch, 0 if pre else 1, pre)

    def __eq__(self, other: object) -> bool:
        return self.sort_key == other.sort_key if isinstance(other, Version) else NotImplemented

    def __lt__(self, other: Version) -> bool:
        return self.sort_key < other.sort_key

    def __hash__(self) -> int:
        return hash(self.sort_key)

    def __str__(self) -> str:
        pre = "-" + ".".join(map(str, self.pre)) if self.pre else ""
        build = f"+{self.build}" if self.build is not None else ""
        return f"{self.major}.{self.minor}.{self.patch}{pre}{build}"


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of a requirement; `patch_given` is false for the short form `~> X.Y`."""

    operator: Operator
    version: Version
    patch_given: bool = True

    def matches(self, version: Version, allow_pre: bool) -> bool:
        """Whether `version` satisfies the comparison (tarball.md §9, "Meaning")."""
        own = self.version
        match self.operator:
            case "==":
                return version == own
            case "!=":
                return version != own
            case "<":
                return version < own
            case "<=":
                return version <= own
        if version.pre and not own.pre and not allow_pre:
            return False
        match self.operator:
            case ">":
                return version > own
            case ">=":
                return version >= own
            case "~>":
                same = version.major == own.major and (
                    not self.patch_given or version.minor == own.minor
                )
                return same and version >= own


@dataclass(frozen=True, slots=True)
class Requirement:
    """Alternatives, each a run of conditions that must all hold (`and` binds tighter than `or`)."""

    text: str
    alternatives: tuple[tuple[Condition, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """Read `cond (" and "|" or ") cond …`. Raises Malformed."""
        if len(text) > TEXT_MAX:
            raise Malformed(f"invalid requirement: {quoted(text)}")
        alternatives: list[list[Condition]] = [[]]
        body = text.rstrip(" ")
        condition, position = _condition(text, body, 0)
        alternatives[-1].append(condition)
        while position < len(body):
            joiner = _JOINER.match(body, position)
            if joiner is None:
                raise Malformed(f"invalid requirement: {quoted(text)}")
            if joiner[1] == "or":
                alternatives.append([])
            condition, position = _condition(text, body, joiner.end())
            alternatives[-1].append(condition)
        return cls(text, tuple(map(tuple, alternatives)))

    @property
    def excludes(self) -> bool:
        """Whether a condition is `!=`, which publishing refuses (tarball.md §8)."""
        return any(c.operator == "!=" for conditions in self.alternatives for c in conditions)

    def matches(self, version: Version, allow_pre: bool = True) -> bool:
        """Whether `version` satisfies the requirement; `allow_pre` as in Elixir's `Version.match?`."""
        return any(
            all(condition.matches(version, allow_pre) for condition in conditions)
            for conditions in self.alternatives
        )

    def __str__(self) -> str:
        return self.text


@lru_cache(KEYS_MAX)
def sort_key(text: str) -> SortKey:
    """`Version.parse(text).sort_key`, for sorting many. Raises Malformed."""
    return Version.parse(text).sort_key


def is_stable(text: str) -> bool:
    """Whether this version, which parses, is no pre-release."""
    return not sort_key(text)[4]


def latest(versions: Iterable[Version]) -> Version | None:
    """The newest stable version, or the newest at all when none is stable; None of nothing."""
    return max(versions, key=lambda version: (not version.pre, version.sort_key), default=None)


def latest_stable(versions: Iterable[Version]) -> Version | None:
    """The newest version without a pre-release part, or None."""
    return max((version for version in versions if not version.pre), default=None)


def _version(match: re.Match[str], text: str) -> Version:
    major, minor, patch, pre, build = match.groups()
    ids = tuple(_identifier(each, text) for each in pre.split(".")) if pre else ()
    return Version(int(major), int(minor), int(patch or 0), ids, build)


def _identifier(text: str, whole: str) -> int | str:
    if not text.isdigit():
        return text
    if len(text) > 1 and text.startswith("0"):
        raise Malformed(f"invalid version: {quoted(whole)}")
    return int(text)


def _condition(text: str, body: str, position: int) -> tuple[Condition, int]:
    match = _CONDITION.match(body, position)
    if match is None:
        raise Malformed(f"invalid requirement: {quoted(text)}")
    operator = _operator(match[1])
    form = _PESSIMISTIC if operator == "~>" else _VERSION
    parts = form.fullmatch(match[2])
    if parts is None:
        raise Malformed(f"invalid requirement: {quoted(text)}")
    try:
        version = _version(parts, match[2])
    except Malformed:
        raise Malformed(f"invalid requirement: {quoted(text)}") from None
    return Condition(operator, version, parts[3] is not None), match.end()


def _operator(text: str | None) -> Operator:
    match text:
        case "!" | "!=":
            return "!="
        case ">" | ">=" | "<" | "<=" | "~>":
            return text
        case _:
            return "=="
