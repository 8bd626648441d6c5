"""Why a release may pass, or not: what explains the rules, to the operator and on their page."""

from __future__ import annotations

from collections.abc import Iterable

from hexhub.domain import advisories, registry
from hexhub.domain.mirror_rules import RuleSet, Verdict
from hexhub.errors import HubError, NotFound
from hexhub.formats import registry as wire
from hexhub.hub import Hub
from hexhub.schema import PUBLIC, Organization, Package, Rule


async def verdict(
    hub: Hub, repository: str, name: str, version: str, extra: Iterable[Rule] = ()
) -> Verdict:
    """What the rules of a repository, and some that are not switched on, say of a release.

    Raises NotFound for no repository.
    """
    with hub.store.view() as view:
        if repository != PUBLIC and view.get(Organization, repository) is None:
            raise NotFound(f"no repository {repository[:100]}")
        ours = view.get(Package, PUBLIC, name) is not None
    preferred = hub.mirror.preferred if hub.mirror is not None else frozenset[str]()
    if repository == PUBLIC and ours and name not in preferred:
        return Verdict(False, None, "it is ours, and the rules of hexpm are about the upstream's")
    more = [rule for rule in extra if rule.repository == repository]
    rules = RuleSet([*hub.held_back.rules.of(repository).rules, *more])
    package = await _facts(hub, repository, name) if rules.needs_facts else None
    if package is not None and repository == PUBLIC:
        with hub.store.view() as view:
            package = advisories.beside_theirs(view, package)
    return rules.judge(name, version, package, hub.now())


async def _facts(hub: Hub, repository: str, name: str) -> wire.RegistryPackage | None:
    """What the registry says of a package; None when nothing is known: rules fail closed."""
    if repository != PUBLIC:
        with hub.store.view() as view:
            return registry.package(view, repository, name)
    try:
        return (await hub.mirror.package(name))[1] if hub.mirror is not None else None
    except HubError:
        return None
