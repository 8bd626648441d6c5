"""Versions and requirements: every golden cell, the order, and hostile texts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, strategies as st

from hexhub.errors import Malformed
from hexhub.formats.version import TEXT_MAX, Requirement, Version, latest, latest_stable
from tests.hexhub.formats.golden import load

VERSIONS = load("versions/versions.json")

identifiers = st.from_regex(r"[0-9A-Za-z-]{1,6}", fullmatch=True)
pre_identifiers = identifiers.filter(
    lambda text: not (text.isdigit() and len(text) > 1 and text.startswith("0"))
)
numbers = st.integers(0, 10**20)
version_texts = st.builds(
    lambda major, minor, patch, pre, build: (
        f"{major}.{minor}.{patch}"
        + ("-" + ".".join(pre) if pre else "")
        + ("+" + ".".join(build) if build else "")
    ),
    numbers,
    numbers,
    numbers,
    st.lists(pre_identifiers, max_size=4),
    st.lists(identifiers, max_size=3),
)


@pytest.mark.parametrize("case", VERSIONS["versions"], ids=lambda case: repr(case["version"]))
def test_a_version_text_is_read_as_elixir_reads_it(case: dict[str, Any]) -> None:
    if not case["valid"]:
        with pytest.raises(Malformed):
            Version.parse(case["version"])
        return
    version = Version.parse(case["version"])
    assert (version.major, version.minor, version.patch) == (
        case["major"],
        case["minor"],
        case["patch"],
    )
    assert list(version.pre) == case["pre"]
    assert version.build == case["build"]
    assert str(version) == case["to_string"]


@pytest.mark.parametrize(
    "case", VERSIONS["requirements"], ids=lambda case: repr(case["requirement"])
)
def test_a_requirement_text_is_valid_when_elixir_says_so(case: dict[str, Any]) -> None:
    text = case["requirement"]
    if not case["valid"]:
        with pytest.raises(Malformed, match="invalid requirement"):
            Requirement.parse(text)
        return
    requirement = Requirement.parse(text)
    assert str(requirement) == text
    assert requirement.excludes is not case["hexpm_accepts"]


@pytest.mark.parametrize("case", VERSIONS["matches"], ids=lambda case: repr(case["requirement"]))
def test_a_requirement_matches_the_versions_that_elixir_matches(case: dict[str, Any]) -> None:
    requirement = Requirement.parse(case["requirement"])
    candidates = VERSIONS["match_candidates"]

    def matching(allow_pre: bool) -> list[str]:
        return [text for text in candidates if requirement.matches(Version.parse(text), allow_pre)]

    assert matching(True) == case["matches"]
    assert matching(False) == case["matches_without_pre"]


@pytest.mark.parametrize("case", VERSIONS["compare"], ids=lambda case: case["version"])
def test_versions_compare_as_in_elixir(case: dict[str, Any]) -> None:
    version = Version.parse(case["version"])
    for other in map(Version.parse, case["lt"]):
        assert version < other
        assert version != other
    for other in map(Version.parse, case["eq"]):
        assert version == other
        assert hash(version) == hash(other)
    for other in map(Version.parse, case["gt"]):
        assert version > other


@pytest.mark.parametrize("case", VERSIONS["raises"], ids=lambda case: case["raises"])
def test_a_match_that_raises_in_elixir_is_malformed(case: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        Requirement.parse(case["requirement"]).matches(Version.parse(case["version"]))


@pytest.mark.parametrize("case", VERSIONS["latest"], ids=lambda case: case["latest"])
def test_the_latest_version_is_the_newest_stable_one_else_the_newest(case: dict[str, Any]) -> None:
    versions = [Version.parse(text) for text in case["versions"]]
    assert [str(version) for version in sorted(versions)] == case["sorted_ascending"]
    assert str(latest(versions)) == case["latest"]
    stable = latest_stable(versions)
    assert stable is None or str(stable) == case["latest"]
    assert (stable is None) == all(version.pre for version in versions)


def test_nothing_has_no_latest_version() -> None:
    assert latest([]) is None
    assert latest_stable([]) is None


@pytest.mark.parametrize(
    "text",
    [
        *("1. 0.0", ">= 1 .0.0", "> = 1.0.0", "! = 1.0.0", "1.0.0 and2.0.0", "1.0.0and 2.0.0"),
        *("1.0.0 or\t2.0.0", "1.0.0-a>=1.0.0", " and 1.0.0", "1.0.0 and ", "~> 1.0.0 -rc", "~> 1"),
        *("!! 1.0.0", "1.0.0\n", "~> 1.0\n", "~>1.01", "1.0.0!", ">=1.0.0 or <2.0.0and >1.0.0"),
    ],
)
def test_a_requirement_that_elixir_refuses_is_malformed(text: str) -> None:
    with pytest.raises(Malformed, match="invalid requirement"):
        Requirement.parse(text)


def test_a_lone_exclamation_mark_excludes() -> None:
    requirement = Requirement.parse("! 1.0.0")
    assert requirement.excludes
    assert not requirement.matches(Version.parse("1.0.0"))
    assert requirement.matches(Version.parse("1.0.1"))


def test_a_giant_version_is_refused_whole() -> None:
    with pytest.raises(Malformed) as caught:
        Version.parse("9" * 5_000_000 + ".0.0")
    assert len(str(caught.value)) < 200
    assert Version.parse("9" * (TEXT_MAX - 4) + ".0.0").major > 10**1000


@given(version_texts)
def test_a_version_survives_its_text(text: str) -> None:
    assert str(Version.parse(text)) == text


@given(st.lists(version_texts, max_size=8))
def test_the_order_is_total(texts: list[str]) -> None:
    ordered = sorted(map(Version.parse, texts))
    for lower, upper in pairwise(ordered):
        assert lower <= upper
        assert (lower < upper) != (lower == upper)
        assert (lower == upper) == (lower.sort_key == upper.sort_key)


@given(version_texts, version_texts)
def test_requirements_agree_with_the_order(own: str, other: str) -> None:
    left, right = Version.parse(own), Version.parse(other)
    facts = {"==": left == right, "!=": left != right, ">": left > right, "<": left < right}
    facts |= {">=": left >= right, "<=": left <= right}
    for operator, fact in facts.items():
        assert Requirement.parse(f"{operator} {other}").matches(left) is fact


@given(st.text(max_size=60) | st.text("0123456789.-+~><=! andor", max_size=30))
def test_any_text_is_a_value_or_malformed(text: str) -> None:
    for parse in (Version.parse, Requirement.parse):
        try:
            value = parse(text)
        except Malformed as error:
            str(error).encode()
        else:
            assert str(value) == text
