"""Which names may be asked of the upstream, and who may publish one that it has (design §7).

A name that is published here in any repository, or reserved, is never asked: the question alone
would tell it, and the answer could be an attacker's package.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from datetime import datetime
from fnmatch import fnmatchcase, translate

import msgspec

from cluster import Transaction, View
from hexhub.domain import audit, rules
from hexhub.domain.audit import Origin
from hexhub.errors import Invalid, NotFound
from hexhub.schema import PUBLIC, AllowedName, Organization, Package, ReservedName

PATTERN = re.compile(r"[a-z0-9_*]{2,128}")
CLASH = "exists at the upstream; an administrator can allow it"


def withheld(view: View, name: str) -> bool:
    """Whether the upstream must never be asked for this name."""
    lower = name.lower()  # the upstream has names with capitals: those of a stranger, if like ours
    if any(allowed.wins == "upstream" for allowed in view.scan(AllowedName, lower)):
        return False
    return reserved(view, lower) or next(view.find(Package, "name", lower), None) is not None


def withheld_among(view: View, names: Iterable[str], ours: Set[str]) -> set[str]:
    """Those of many names of the upstream that are ours, by all names that are, or reserved."""
    wins = preferred(view)
    patterns = [translate(row.pattern) for row in view.scan(ReservedName)]
    matches = re.compile("|".join(patterns)).match if patterns else lambda name: None
    return {
        name
        for name in names
        if (lower := name.lower()) not in wins and (lower in ours or matches(lower))
    }


def reserved(view: View, name: str) -> bool:
    """Whether a lower-case name matches a reserved pattern."""
    return any(fnmatchcase(name, row.pattern) for row in view.scan(ReservedName))


def preferred(view: View) -> frozenset[str]:
    """Names whose package the public addresses serve from the upstream, though we have one."""
    return frozenset(row.name for row in view.scan(AllowedName) if row.wins == "upstream")


def check_new(view: View, repository: str, name: str, clash: str) -> None:
    """Raise Invalid for a new name that is taken at the upstream, unless the operator allowed it."""
    if clash == "exists" and view.get(AllowedName, name, repository) is None:
        raise Invalid({"name": CLASH})


def unchecked(view: View) -> list[Package]:
    """Packages that were published while nobody could say whether the upstream has the name."""
    return list(view.find(Package, "clash", "unchecked"))


def clashes(view: View) -> list[Package]:
    """Packages whose name turned out to exist at the upstream, not allowed since."""
    return [
        package
        for package in view.find(Package, "clash")
        if view.get(AllowedName, package.name, package.repository) is None
    ]


def note(tx: Transaction, repository: str, name: str, clash: str) -> None:
    """Note what the upstream said about a name that was unchecked."""
    package = tx.get(Package, repository, name)
    if package is not None and package.clash != clash:
        tx.put(msgspec.structs.replace(package, clash=clash))


def allow(
    tx: Transaction, origin: Origin, repository: str, name: str, wins: str, now: datetime
) -> AllowedName:
    """Let a name be published in a repository although the upstream has it."""
    rules.check(
        {
            "name": rules.package_name(name),
            "wins": None if wins in ("own", "upstream") else "is invalid",
        }
    )
    if repository != PUBLIC and tx.get(Organization, repository) is None:
        raise NotFound(f"no repository {repository}")
    row = AllowedName(name=name, repository=repository, wins=wins, created_at=now)
    tx.put(row)
    _record(tx, origin, "name.allow", now, name=name, repository=repository, wins=wins)
    return row


def disallow(tx: Transaction, origin: Origin, repository: str, name: str, now: datetime) -> None:
    """Take that word back. Raises NotFound."""
    row = tx.get(AllowedName, name, repository)
    if row is None:
        raise NotFound(f"{repository}/{name} was not allowed")
    tx.delete(row)
    _record(tx, origin, "name.disallow", now, name=name, repository=repository)


def reserve(tx: Transaction, origin: Origin, pattern: object, now: datetime) -> ReservedName:
    """Never ask the upstream for names that match a pattern such as `acme_*`."""
    if not isinstance(pattern, str) or not PATTERN.fullmatch(pattern) or not pattern.strip("*"):
        raise Invalid({"pattern": "must be a name in lower case, with * for any characters"})
    row = ReservedName(pattern=pattern, created_at=now)
    tx.put(row)
    _record(tx, origin, "name.reserve", now, pattern=pattern)
    return row


def release(tx: Transaction, origin: Origin, pattern: str, now: datetime) -> None:
    """Take a reservation back. Raises NotFound."""
    row = tx.get(ReservedName, pattern)
    if row is None:
        raise NotFound(f"{pattern} is not reserved")
    tx.delete(row)
    _record(tx, origin, "name.release", now, pattern=pattern)


def _record(tx: Transaction, origin: Origin, action: str, now: datetime, **what: str) -> None:
    audit.record(tx, origin, action, dict(what), now)
