"""The form of a dependency policy: filled from a policy or from what was typed, and read again."""

from __future__ import annotations

from dataclasses import dataclass

from hexhub.domain import policies
from hexhub.errors import Errors, Invalid
from hexhub.http.call import Call
from hexhub.schema import PUBLIC, Policy, PolicyRules
from hexhub.sites.web.account import text

OVERRIDE = "each line is a word, a package and perhaps a requirement, as in “allow jason ~> 1.4”"


@dataclass(frozen=True, slots=True)
class Part:
    """What the form holds about one repository; `overrides` as lines of text."""

    repository: str
    cooldown: str = ""
    severity: str = ""
    reasons: tuple[str, ...] = ()
    overrides: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """What the form holds. `old`: it changes a policy that is there."""

    name: str = ""
    description: str = ""
    visibility: str = policies.VISIBILITIES[0]
    parts: tuple[Part, ...] = ()
    old: bool = False


def of(policy: Policy | None, organization: str) -> Form:
    """The form for a policy; an empty one without."""
    known = {each.repository: each for each in policy.rules} if policy else {}
    parts = tuple(_part(name, known.get(name)) for name in (PUBLIC, organization))
    if policy is None:
        return Form(parts=parts)
    return Form(policy.name, policy.description or "", policy.visibility, parts, old=True)


def _part(repository: str, known: PolicyRules | None) -> Part:
    if known is None:
        return Part(repository)
    lines = (
        f"{each.action} {each.package} {each.requirement or ''}".rstrip()
        for each in known.overrides
    )
    return Part(
        repository,
        known.cooldown or "",
        known.advisory_min_severity or "",
        known.retirement_reasons,
        "\n".join(lines),
    )


def typed(call: Call, organization: str) -> Form:
    """The form as it was sent."""

    def part(repository: str) -> Part:
        return Part(
            repository,
            text(call, f"{repository}:cooldown"),
            text(call, f"{repository}:severity"),
            tuple(word for word in policies.REASONS if f"{repository}:retired:{word}" in call.body),
            text(call, f"{repository}:overrides"),
        )

    return Form(
        text(call, "policy"),
        text(call, "description"),
        text(call, "visibility"),
        tuple(part(name) for name in (PUBLIC, organization)),
        old="old" in call.body,
    )


def given(form: Form) -> policies.Given:
    """The form as the API would have it. Raises Invalid."""
    public = form.visibility == "public"
    return {
        "description": form.description,
        "visibility": form.visibility,
        # A public policy is about the public repository alone.
        "repositories": [
            {
                "repository": part.repository,
                "cooldown": part.cooldown or None,
                "advisory_min_severity": part.severity or None,
                "retirement_reasons": list(part.reasons),
                "overrides": [_override(line) for line in part.overrides.splitlines() if line],
            }
            for part in form.parts
            if part.repository == PUBLIC or not public
        ],
    }


def _override(line: str) -> policies.Given:
    match line.split(maxsplit=2):
        case [action, package, *requirement]:
            return {
                "action": action.lower(),
                "package": package,
                "requirement": "".join(requirement) or None,
            }
    raise Invalid({"exceptions": OVERRIDE})


def words(errors: Errors) -> str:
    """What is wrong, as one sentence."""
    parts = []
    for field, said in errors.items():
        name = {"repositories": "", "overrides": "exceptions"}.get(field, field.replace("_", " "))
        text = said if isinstance(said, str) else words(said)
        parts.append(f"{name}: {text}" if name else text)
    return "; ".join(parts)
