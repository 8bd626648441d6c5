"""A package of the upstream with this hub's signature, without the releases that rules hold back."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from hexhub.domain.mirror_rules import RuleSet
from hexhub.errors import RefusedByRule
from hexhub.formats import registry as wire
from hexhub.repositories import SignedResource

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Filtered:
    """What is left of a package, and until when: then time lifts a rule. None: for ever."""

    package: wire.RegistryPackage
    complete: bool
    until: datetime | None


def filtered(
    package: wire.RegistryPackage,
    rules: RuleSet,
    now: datetime,
    facts: wire.RegistryPackage | None = None,
) -> Filtered:
    """Drop refused releases; `facts` is the package as rules judge it, where that is another.

    Raises RefusedByRule when none is left.
    """
    verdicts = [
        (release, rules.judge(package.name, release.version, facts or package, now))
        for release in package.releases
    ]
    left = tuple(release for release, verdict in verdicts if not verdict.refused)
    refused = [verdict for _, verdict in verdicts if verdict.refused]
    if refused and not left:
        rule = refused[-1].rule
        raise RefusedByRule(
            f"every release of {package.name} is held back, the newest by the rule "
            f"'{rule.id if rule else '?'}': {refused[-1].why}"
        )
    until = min((verdict.until for verdict in refused if verdict.until), default=None)
    return Filtered(replace(package, releases=left), not refused, until)


def sign(payload: bytes, key: RSAPrivateKey) -> SignedResource:
    """A payload under this hub's signature, with a strong ETag."""
    body = wire.seal(payload, key)
    return SignedResource(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
