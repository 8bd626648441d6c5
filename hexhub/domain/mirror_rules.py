"""Rules of a repository: which releases are held back, and why.

Those of `hexpm` are about what comes from the upstream, those of an organization about its packages.
Of the `allow` and `deny` rules that match a release the most particular one decides; of two equally
particular ones `deny`. An `allow` that decides also lifts cooldown, retired and advisory; without
one each of these can refuse. What a rule cannot know counts against the release.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase, translate
from typing import Any

from cluster import Transaction, View
from hexhub.domain import audit
from hexhub.domain.audit import Origin
from hexhub.errors import Invalid, Malformed, NotFound
from hexhub.formats import registry as wire
from hexhub.formats.registry_values import (
    Advisory,
    RegistryPackage,
    RegistryRelease,
    RetirementReason,
    Severity,
)
from hexhub.formats.version import Requirement, Version
from hexhub.schema import PUBLIC, Organization, Rule

PATTERN = re.compile(r"[A-Za-z0-9_*]{1,128}")
AGE = re.compile(r"([0-9]{1,5})(h|d|w|mo)")
HOURS = {"h": 1, "d": 24, "w": 24 * 7, "mo": 24 * 30}
SEVERITIES = tuple(each.name.lower() for each in Severity)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a release is refused, and the rule that decided; `until` when time will lift it."""

    refused: bool
    rule: Rule | None = None
    why: str = "no rule matches"
    until: datetime | None = None


FREE = Verdict(False)


class RuleSet:
    """The rules of one repository, ready to judge."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self._named = [rule for rule in self.rules if rule.kind in ("allow", "deny")]
        self._automatic = [rule for rule in self.rules if rule.kind not in ("allow", "deny")]

    @property
    def asks_for_advisories(self) -> bool:
        """Whether a verdict depends on advisories."""
        return any(rule.kind == "advisory" for rule in self._automatic)

    @property
    def needs_facts(self) -> bool:
        """Whether a verdict depends on more than name and version."""
        return bool(self._automatic)

    def judge(
        self,
        name: str,
        version: str,
        package: RegistryPackage | None,
        now: datetime,
    ) -> Verdict:
        """Whether a release may pass; `package` is its signed resource, None when not at hand."""
        if not self.rules:
            return FREE
        decisive = self._decisive(name, version)
        if decisive is not None:
            return Verdict(decisive.kind == "deny", decisive, f"{decisive.id} matches")
        rules = [rule for rule in self._automatic if fnmatchcase(name, rule.pattern)]
        if not rules:
            return FREE
        release = _find(package, version)
        if package is None or release is None:
            return Verdict(True, rules[0], "nothing is known of this release")
        verdicts = [_automatic(rule, package, release, now) for rule in rules]
        return max(
            (verdict for verdict in verdicts if verdict.refused),
            key=lambda verdict: verdict.until or datetime.max.replace(tzinfo=now.tzinfo),
            default=FREE,
        )

    def thin(self, path: str, entries: Mapping[str, bytes]) -> dict[str, bytes]:
        """`names` or `versions` by package without what `deny` rules hold back.

        These lists tell neither times nor reasons, so the other rules do not apply to them.
        """
        denying = [translate(rule.pattern) for rule in self.rules if rule.kind == "deny"]
        if not denying:
            return dict(entries)
        concerned = re.compile("|".join(denying)).match
        thinned = {}
        for name, entry in entries.items():
            left: bytes | None = entry
            if concerned(name):
                left = self._thin_names(name, entry) if path == "names" else self._thin(entry)
            if left is not None:
                thinned[name] = left
        return thinned

    def _thin_names(self, name: str, entry: bytes) -> bytes | None:
        rules = [rule for rule in self._named if fnmatchcase(name, rule.pattern)]
        whole = max((rule for rule in rules if rule.requirement is None), key=_rank, default=None)
        some = any(rule.kind == "allow" and rule.requirement is not None for rule in rules)
        return None if whole is not None and whole.kind == "deny" and not some else entry

    def _thin(self, entry: bytes) -> bytes | None:
        (listed,) = wire.decode_versions(wire.join([entry], PUBLIC)).packages
        keep = [
            i
            for i, version in enumerate(listed.versions)
            if (rule := self._decisive(listed.name, version)) is None or rule.kind != "deny"
        ]
        if not keep:
            return None
        if len(keep) == len(listed.versions):
            return entry
        positions = {old: new for new, old in enumerate(keep)}
        return wire.versions_chunk(
            wire.VersionsEntry(
                listed.name,
                tuple(listed.versions[i] for i in keep),
                tuple(positions[i] for i in listed.retired if i in positions),
                tuple(positions[i] for i in listed.with_advisories if i in positions),
            )
        )

    def _decisive(self, name: str, version: str) -> Rule | None:
        matching = [rule for rule in self._named if _matches(rule, name, version)]
        return max(matching, key=_rank, default=None)


def _rank(rule: Rule) -> tuple[bool, bool, int, bool]:
    """How particular a rule is; at the end what decides between equals."""
    exact = "*" not in rule.pattern
    letters = len(rule.pattern.replace("*", ""))
    return exact, rule.requirement is not None, letters, rule.kind == "deny"


def _matches(rule: Rule, name: str, version: str) -> bool:
    if not fnmatchcase(name, rule.pattern):
        return False
    if rule.requirement is None:
        return True
    try:
        return Requirement.parse(rule.requirement).matches(Version.parse(version))
    except Malformed:
        # A version that cannot be compared: a deny holds for it, an allow does not.
        return rule.kind == "deny"


def _find(package: RegistryPackage | None, version: str) -> RegistryRelease | None:
    releases = package.releases if package else ()
    return next((release for release in releases if release.version == version), None)


def _automatic(
    rule: Rule, package: RegistryPackage, release: RegistryRelease, now: datetime
) -> Verdict:
    match rule.kind:
        case "cooldown":
            return _cooldown(rule, release, now)
        case "retired":
            return _retired(rule, release)
        case "advisory":
            return _advisory(rule, package, release)
    return Verdict(True, rule, f"{rule.id} is a rule that this version does not know")


def _cooldown(rule: Rule, release: RegistryRelease, now: datetime) -> Verdict:
    if release.published_at is None:
        return Verdict(True, rule, "its time of publication is not known")
    until = release.published_at + timedelta(seconds=int(rule.value or 0))
    if now >= until:
        return FREE
    return Verdict(
        True, rule, f"younger than {rule.id} allows, until {until:%Y-%m-%d %H:%M} UTC", until
    )


def _retired(rule: Rule, release: RegistryRelease) -> Verdict:
    if release.retired is None or release.retired.reason != RetirementReason.SECURITY:
        return FREE
    return Verdict(True, rule, "it was retired for security")


def _advisory(rule: Rule, package: RegistryPackage, release: RegistryRelease) -> Verdict:
    for index in release.advisory_indexes:
        if index >= len(package.advisories):
            return Verdict(True, rule, "it has an advisory that is not told")
        advisory = package.advisories[index]
        if _severity(advisory) >= SEVERITIES.index(rule.value or "none"):
            return Verdict(True, rule, f"it has the advisory {advisory.id}")
    return FREE


def _severity(advisory: Advisory) -> int:
    """An unknown severity counts as the worst."""
    if advisory.severity is None:
        return int(Severity.CRITICAL)
    return advisory.severity


def of(view: View, repository: str = PUBLIC) -> RuleSet:
    """The rules of a repository."""
    return RuleSet(view.scan(Rule, repository))


def everyone(view: View) -> list[Rule]:
    """The rules of every repository, by repository and id."""
    return list(view.scan(Rule))


def make(
    kind: str,
    pattern: object,
    requirement: object,
    value: object,
    now: datetime,
    repository: str = PUBLIC,
) -> Rule:
    """A rule from what a person typed. Raises Invalid."""
    if not isinstance(pattern, str) or not PATTERN.fullmatch(pattern):
        raise Invalid({"pattern": "must be a package's name, with * for any characters"})
    if requirement is not None:
        try:
            Requirement.parse(str(requirement))
        except Malformed as error:
            raise Invalid({"requirement": str(error)}) from None
    match kind:
        case "allow" | "deny":
            kept = None
        case "cooldown":
            kept, requirement = str(_age_s(value)), None
        case "advisory":
            kept, requirement = _least(value), None
        case "retired":
            kept, requirement = None, None
        case _:
            raise Invalid({"kind": "must be allow, deny, cooldown, retired or advisory"})
    needed = str(requirement) if requirement is not None else None
    return Rule(
        repository=repository,
        id=" ".join([kind, pattern, *([needed] if needed else [])]),
        kind=kind,
        pattern=pattern,
        requirement=needed,
        value=kept,
        created_at=now,
    )


def _age_s(value: object) -> int:
    match = AGE.fullmatch(str(value))
    if match is None:
        raise Invalid({"age": "must be a time such as 12h, 7d, 2w or 1mo"})
    return int(match[1]) * HOURS[match[2]] * 3600


def _least(value: object) -> str:
    if value not in SEVERITIES:
        raise Invalid({"severity": f"must be one of {', '.join(SEVERITIES)}"})
    return str(value)


def add(tx: Transaction, origin: Origin, rule: Rule) -> Rule:
    """Switch a rule on; one of the same id is replaced. Raises NotFound for no repository."""
    if rule.repository != PUBLIC and tx.get(Organization, rule.repository) is None:
        raise NotFound(f"no repository {rule.repository[:100]}")
    tx.put(rule)
    audit.record(tx, origin, "rule.add", _told(rule), rule.created_at)
    return rule


def remove(
    tx: Transaction, origin: Origin, id: str, now: datetime, repository: str = PUBLIC
) -> None:
    """Switch a rule off. Raises NotFound."""
    rule = tx.get(Rule, repository, id)
    if rule is None:
        raise NotFound(f"no rule {id[:300]} of {repository[:100]}")
    tx.delete(rule)
    audit.record(tx, origin, "rule.remove", _told(rule), now)


def _told(rule: Rule) -> dict[str, Any]:
    return {"rule": rule.id, "repository": rule.repository, "value": rule.value}
