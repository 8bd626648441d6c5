"""Rules of the mirror: which of them decides, and that what is not known counts against a release."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hexhub.domain import mirror_rules
from hexhub.domain.mirror_rules import RuleSet
from hexhub.errors import Invalid
from hexhub.formats import registry as wire
from hexhub.schema import Rule

NOW = datetime(2026, 5, 1, tzinfo=UTC)
YOUNG, OLD = timedelta(days=2), timedelta(days=200)


def rule(text: str, value: str | None = None) -> Rule:
    """A rule as `KIND PATTERN [REQUIREMENT]`."""
    kind, pattern, *requirement = text.split(" ", 2)
    return mirror_rules.make(kind, pattern, requirement[0] if requirement else None, value, NOW)


COOLDOWN = rule("cooldown *", "7d")
RETIRED = rule("retired *")
ADVISORY = rule("advisory *", "high")


def package(
    *,
    age: timedelta | None = OLD,
    retired: int | None = None,
    severity: int | None = -1,
) -> wire.RegistryPackage:
    """`pine` with the release 1.0.0; `severity` -1 for no advisory."""
    advised = severity != -1
    release = wire.RegistryRelease(
        "1.0.0",
        bytes(32),
        bytes(32),
        retired=wire.Retired(retired) if retired is not None else None,
        advisory_indexes=(0,) if advised else (),
        published_at=NOW - age if age is not None else None,
    )
    advisory = wire.Advisory("GHSA-1", "bad", "https://a", "https://b", severity)
    return wire.RegistryPackage("pine", "hexpm", (release,), (advisory,) if advised else ())


def refused(*rules: Rule, of: wire.RegistryPackage | None = None, version: str = "1.0.0") -> bool:
    return RuleSet(rules).judge("pine", version, of or package(), NOW).refused


def test_without_rules_everything_passes() -> None:
    assert not RuleSet(()).judge("pine", "1.0.0", None, NOW).refused


@pytest.mark.parametrize(
    ("rules", "is_refused"),
    [
        (["deny pine"], True),
        (["deny p*"], True),
        (["deny oak"], False),
        (["deny pine < 1.1.0"], True),
        (["deny pine > 1.1.0"], False),
        (["deny *", "allow pine"], False),
        (["deny *", "allow oak"], True),
        (["deny pine", "allow *"], True),
        (["deny pine", "allow pine"], True),
        (["deny pine", "allow pine == 1.0.0"], False),
        (["deny pine == 1.0.0", "allow pine == 1.0.0"], True),
        (["deny pi*", "allow p*"], True),
        (["deny p*", "allow pi*"], False),
        (["allow pine"], False),
    ],
)
def test_the_most_particular_of_allow_and_deny_decides(rules: list[str], is_refused: bool) -> None:
    made = [rule(text) for text in rules]
    assert refused(*made) is is_refused
    assert refused(*reversed(made)) is is_refused


@pytest.mark.parametrize(
    ("rules", "of", "is_refused"),
    [
        ([COOLDOWN], package(age=YOUNG), True),
        ([COOLDOWN], package(age=OLD), False),
        ([COOLDOWN], package(age=timedelta(days=7)), False),
        ([COOLDOWN], package(age=None), True),
        ([RETIRED], package(retired=wire.RetirementReason.SECURITY), True),
        ([RETIRED], package(retired=wire.RetirementReason.DEPRECATED), False),
        ([RETIRED], package(), False),
        ([ADVISORY], package(severity=wire.Severity.HIGH), True),
        ([ADVISORY], package(severity=wire.Severity.CRITICAL), True),
        ([ADVISORY], package(severity=wire.Severity.LOW), False),
        ([ADVISORY], package(severity=None), True),
        ([ADVISORY], package(), False),
        ([COOLDOWN, RETIRED], package(age=OLD, retired=wire.RetirementReason.SECURITY), True),
        ([rule("cooldown oak*", "7d")], package(age=YOUNG), False),
    ],
)
def test_age_retirement_and_advisories(
    rules: list[Rule], of: wire.RegistryPackage, is_refused: bool
) -> None:
    assert refused(*rules, of=of) is is_refused


@pytest.mark.parametrize("automatic", [COOLDOWN, RETIRED, ADVISORY], ids=lambda each: each.kind)
def test_a_release_of_which_nothing_is_known_is_refused(automatic: Rule) -> None:
    rules = RuleSet([automatic])
    assert rules.needs_facts
    assert rules.judge("pine", "1.0.0", None, NOW).refused
    assert rules.judge("pine", "9.9.9", package(), NOW).refused


def test_an_allow_that_decides_lifts_the_other_rules() -> None:
    young = package(age=YOUNG)
    assert refused(COOLDOWN, of=young)
    assert not refused(COOLDOWN, rule("allow pine == 1.0.0"), of=young)
    assert refused(COOLDOWN, rule("allow pine == 2.0.0"), of=young)


def test_a_rule_of_a_kind_that_is_not_known_refuses() -> None:
    unknown = Rule(repository="hexpm", id="later *", kind="later", created_at=NOW)
    assert refused(unknown)


def test_a_cooldown_says_when_it_ends() -> None:
    verdict = RuleSet([COOLDOWN]).judge("pine", "1.0.0", package(age=YOUNG), NOW)
    assert verdict.until == NOW + timedelta(days=5)


@pytest.mark.parametrize(
    ("kind", "pattern", "requirement", "value"),
    [
        ("cooldown", "*", None, "7 days"),
        ("cooldown", "*", None, None),
        ("advisory", "*", None, "terrible"),
        ("deny", "no such name!", None, None),
        ("deny", "pine", "not a requirement", None),
        ("forbid", "pine", None, None),
    ],
)
def test_what_is_no_rule_is_refused(
    kind: str, pattern: str, requirement: str | None, value: str | None
) -> None:
    with pytest.raises(Invalid):
        mirror_rules.make(kind, pattern, requirement, value, NOW)


def test_lists_lose_what_is_denied_and_keep_their_positions_right() -> None:
    entries = {
        "oak": wire.versions_chunk(wire.VersionsEntry("oak", ("1.0.0",))),
        "pine": wire.versions_chunk(
            wire.VersionsEntry("pine", ("1.0.0", "1.1.0", "2.0.0"), (0, 2), (1,))
        ),
    }
    rules = RuleSet([rule("deny oak"), rule("deny pine < 1.1.0")])
    thinned = rules.thin("versions", entries)
    assert list(thinned) == ["pine"]
    (pine,) = wire.decode_versions(wire.join(thinned.values(), "hexpm")).packages
    assert pine == wire.VersionsEntry("pine", ("1.1.0", "2.0.0"), (1,), (0,))
    names = {name: wire.names_chunk(wire.NamesEntry(name)) for name in entries}
    assert list(rules.thin("names", names)) == ["pine"]
