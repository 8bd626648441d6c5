"""The rules that hold now, of every repository, and how often each kind refused.

One book for a node: whatever lets bytes of a release out asks it, at the moment that it does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from cluster import Change
from hexhub.domain import advisories, mirror_rules
from hexhub.domain.mirror_rules import RuleSet
from hexhub.errors import RefusedByRule
from hexhub.formats import registry as wire
from hexhub.schema import PUBLIC, Advisory, Rule

if TYPE_CHECKING:
    from cluster import Store


class RuleBook:
    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store = store
        self._sets: dict[str, RuleSet] = {}
        self.now = now
        self.changes = 0
        """How often a rule, or an advisory that rules may judge by, has changed."""
        self.refused: Counter[str] = Counter()
        """Requests refused, by the kind of the rule."""
        store.subscribe(self._changed)

    def of(self, repository: str) -> RuleSet:
        """The rules of a repository, those that were set before anyone heard that they are."""
        known = self._sets.get(repository)
        if known is None:
            with self._store.view() as view:
                known = self._sets[repository] = mirror_rules.of(view, repository)
        return known

    def facts(
        self, repository: str, package: wire.RegistryPackage | None
    ) -> wire.RegistryPackage | None:
        """A package as rules judge it: with advisories of this hub beside the upstream's."""
        if package is None or repository != PUBLIC or not self.of(PUBLIC).asks_for_advisories:
            return package
        with self._store.view() as view:
            return advisories.beside_theirs(view, package)

    def require_free(
        self, repository: str, name: str, version: str, package: wire.RegistryPackage | None
    ) -> None:
        """Raise RefusedByRule for a release that a rule of its repository holds back.

        `package`: what the registry says of it, None when nothing is known.
        """
        facts = self.facts(repository, package)
        verdict = self.of(repository).judge(name, version, facts, self.now())
        if verdict.refused:
            assert verdict.rule is not None
            self.refused[verdict.rule.kind] += 1
            raise RefusedByRule(
                f"{name} {version} is held back by the rule '{verdict.rule.id}': {verdict.why}"
            )

    def _changed(self, change: Change) -> None:
        if change.keys is None or any(record in (Rule, Advisory) for record, _ in change.keys):
            self._sets.clear()
            self.changes += 1
