"""Signed dependency policies of organizations (registry.md §3, §4): check, keep, hand out."""

from __future__ import annotations

import re
from datetime import datetime

from cluster import Transaction, View
from hexhub.domain import audit, organizations, rules
from hexhub.domain.audit import Origin
from hexhub.errors import Errors, Invalid, Malformed, NotFound
from hexhub.formats import registry as wire
from hexhub.formats.version import Requirement as VersionRequirement
from hexhub.schema import PUBLIC, Policy, PolicyOverride, PolicyRules

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{1,62}[a-z0-9]")
RESERVED = frozenset({"new", "package-suggestions", "version-suggestions"})
DESCRIPTION_LENGTH_MAX = 500
COOLDOWN = re.compile(r"0|[1-9][0-9]{0,3}(d|w|mo)")
POLICIES_MAX = 100
REPOSITORIES_MAX = 2
OVERRIDES_MAX = 1_000
VISIBILITIES = ("private", "public")
SEVERITIES = tuple(each.name.lower() for each in wire.Severity)
REASONS = tuple(each.name.lower() for each in wire.RetirementReason)
ACTIONS = tuple(each.name.lower() for each in wire.OverrideAction)

Given = dict[str, object]


def find(view: View, organization: str, name: str) -> Policy:
    """A policy. Raises NotFound."""
    policy = view.get(Policy, organization, name)
    if policy is None:
        raise NotFound
    return policy


def all_of(view: View, organization: str) -> list[Policy]:
    """The policies of an organization, by name."""
    return list(view.scan(Policy, organization))


def put(
    tx: Transaction, origin: Origin, organization: str, name: str, given: Given, now: datetime
) -> Policy:
    """Make a policy, or put it in the place of the one of this name. Raises Invalid."""
    organizations.find(tx, organization)
    before = tx.get(Policy, organization, name)
    rules.check({"name": _name_problem(name)})
    if before is None and tx.count(Policy, organization) >= POLICIES_MAX:
        raise Invalid({"name": f"an organization can have at most {POLICIES_MAX} policies"})
    description, visibility = given.get("description"), given.get("visibility", "private")
    rules.check(
        {
            "description": _description_problem(description),
            "visibility": None if visibility in VISIBILITIES else "is invalid",
        }
    )
    policy = Policy(
        organization=organization,
        name=name,
        description=str(description) if description else None,
        visibility=str(visibility),
        rules=_rules(given.get("repositories"), organization, str(visibility)),
        created_at=before.created_at if before else now,
        updated_at=now,
    )
    tx.put(policy)
    action = "policy.update" if before else "policy.create"
    audit.record(tx, origin, action, _params(policy), now, organization=organization)
    return policy


def delete(tx: Transaction, origin: Origin, organization: str, name: str, now: datetime) -> None:
    """Take a policy away. Raises NotFound."""
    policy = find(tx, organization, name)
    tx.delete(policy)
    audit.record(tx, origin, "policy.delete", _params(policy), now, organization=organization)


def _params(policy: Policy) -> audit.Params:
    return {"organization": {"name": policy.organization}, "policy": shown(policy)}


def shown(policy: Policy) -> audit.Params:
    """A policy in the shape in which it is given."""
    return {
        "name": policy.name,
        "description": policy.description,
        "visibility": policy.visibility,
        "repositories": [
            {
                "repository": one.repository,
                "advisory_min_severity": one.advisory_min_severity,
                "retirement_reasons": list(one.retirement_reasons),
                "cooldown": one.cooldown,
                "overrides": [
                    {
                        "action": each.action,
                        "package": each.package,
                        "requirement": each.requirement,
                    }
                    for each in one.overrides
                ],
            }
            for one in policy.rules
        ],
    }


def _name_problem(name: str) -> str | None:
    if not NAME.fullmatch(name):
        return "has invalid format"
    return "is reserved" if name in RESERVED else None


def _description_problem(value: object) -> str | None:
    if value in (None, ""):
        return None
    problem = rules.text(value)
    if problem is None and len(str(value)) > DESCRIPTION_LENGTH_MAX:
        return f"should be at most {DESCRIPTION_LENGTH_MAX} character(s)"
    return problem


def _maps(value: object, most: int) -> list[Given] | str:
    """A list of objects, or what is wrong with it."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        return "expected type list(map)"
    return value if len(value) <= most else f"should have at most {most} item(s)"


def _rules(value: object, organization: str, visibility: str) -> tuple[PolicyRules, ...]:
    given = _maps(value, REPOSITORIES_MAX)
    if isinstance(given, str):
        raise Invalid({"repositories": given})
    found: dict[str, PolicyRules] = {}
    for one in given:
        repository = one.get("repository")
        allowed = (PUBLIC,) if visibility == "public" else (PUBLIC, organization)
        if repository not in allowed:
            raise Invalid({"repositories": {"repository": f"must be {' or '.join(allowed)}"}})
        if repository in found:
            raise Invalid({"repositories": {"repository": "has already been taken"}})
        found[str(repository)] = _rules_of(str(repository), one)
    return tuple(found.values())


def _rules_of(repository: str, given: Given) -> PolicyRules:
    severity, cooldown = given.get("advisory_min_severity"), given.get("cooldown")
    reasons = given.get("retirement_reasons") or []
    problems: dict[str, str | None] = {
        "advisory_min_severity": None if severity in (None, *SEVERITIES) else "is invalid",
        "retirement_reasons": rules.strings(
            reasons, lambda word: None if word in REASONS else "is invalid"
        )
        if reasons
        else None,
        "cooldown": None
        if cooldown is None or (isinstance(cooldown, str) and COOLDOWN.fullmatch(cooldown))
        else "must be 0, or a number and d, w or mo",
    }
    wrong: Errors = {field: text for field, text in problems.items() if text}
    if wrong:
        raise Invalid({"repositories": wrong})
    assert isinstance(reasons, list)
    return PolicyRules(
        repository=repository,
        advisory_min_severity=str(severity) if severity is not None else None,
        retirement_reasons=tuple(word for word in REASONS if word in reasons),
        cooldown=str(cooldown) if cooldown is not None else None,
        overrides=_overrides(given.get("overrides")),
    )


def _overrides(value: object) -> tuple[PolicyOverride, ...]:
    given = _maps(value, OVERRIDES_MAX)
    if isinstance(given, str):
        raise Invalid({"repositories": {"overrides": given}})
    return tuple(_override(one) for one in given)


def _override(given: Given) -> PolicyOverride:
    action, package = given.get("action"), given.get("package")
    requirement = given.get("requirement") or None
    name_problem = rules.package_name(package)
    problems = {
        "action": None if action in ACTIONS else "is invalid",
        "package": None if name_problem == "is reserved" else name_problem,
        "requirement": _requirement_problem(requirement),
    }
    wrong: Errors = {field: text for field, text in problems.items() if text}
    if wrong:
        raise Invalid({"repositories": {"overrides": wrong}})
    return PolicyOverride(
        action=str(action),
        package=str(package),
        requirement=str(requirement) if requirement is not None else None,
    )


def _requirement_problem(value: object) -> str | None:
    if value is None:
        return None
    if problem := rules.text(value):
        return problem
    try:
        VersionRequirement.parse(str(value))
    except Malformed:
        return "is invalid"
    return None


def resource(policy: Policy) -> wire.Policy:
    """The policy as the registry signs it; rules that hold nothing back have no restriction."""
    return wire.Policy(
        repository=policy.organization,
        name=policy.name,
        visibility=wire.Visibility[policy.visibility.upper()],
        description=policy.description,
        repositories=tuple(
            wire.RepositoryPolicy(
                repository=one.repository,
                restriction=_restriction(one),
                overrides=tuple(
                    wire.Override(
                        wire.OverrideAction[each.action.upper()], each.package, each.requirement
                    )
                    for each in one.overrides
                ),
            )
            for one in policy.rules
        ),
    )


def _restriction(one: PolicyRules) -> wire.Restriction | None:
    severity = one.advisory_min_severity
    if severity is None and not one.retirement_reasons and one.cooldown is None:
        return None
    return wire.Restriction(
        advisory_min_severity=wire.Severity[severity.upper()] if severity is not None else None,
        retirement_reasons=tuple(
            wire.RetirementReason[word.upper()] for word in one.retirement_reasons
        ),
        cooldown=one.cooldown,
    )
