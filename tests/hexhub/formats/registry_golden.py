"""The values of golden `decoded.json` files as the values of `formats/registry.py`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hexhub.formats.registry import (
    Advisory,
    Dependency,
    Names,
    NamesEntry,
    Override,
    OverrideAction,
    Policy,
    RegistryPackage,
    RegistryRelease,
    RepositoryPolicy,
    Restriction,
    Retired,
    RetirementReason,
    Severity,
    Versions,
    VersionsEntry,
    Visibility,
)

ENUMS = {
    "RETIRED": RetirementReason,
    "SEVERITY": Severity,
    "VISIBILITY": Visibility,
    "OVERRIDE_ACTION": OverrideAction,
}


def number(spelled: str | int | None) -> int | None:
    """The number of an enumeration's golden name, such as RETIRED_SECURITY."""
    if spelled is None or isinstance(spelled, int):
        return spelled
    group, _, name = spelled.rpartition("_")
    return int(ENUMS[group][name])


def moment(stamp: dict[str, int] | None) -> datetime | None:
    """A golden timestamp, cut to whole microseconds."""
    if stamp is None:
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
        seconds=stamp["seconds"], microseconds=stamp["nanos"] // 1000
    )


def names(decoded: dict[str, Any]) -> Names:
    """A golden Names message."""
    entries = (NamesEntry(e["name"], moment(e.get("updated_at"))) for e in decoded["packages"])
    return Names(decoded["repository"], tuple(entries))


def versions(decoded: dict[str, Any]) -> Versions:
    """A golden Versions message."""
    entries = (
        VersionsEntry(
            e["name"], tuple(e["versions"]), tuple(e["retired"]), tuple(e["with_advisories"])
        )
        for e in decoded["packages"]
    )
    return Versions(decoded["repository"], tuple(entries))


def package(decoded: dict[str, Any]) -> RegistryPackage:
    """A golden Package message."""
    return RegistryPackage(
        decoded["name"],
        decoded["repository"],
        tuple(map(release, decoded["releases"])),
        tuple(
            Advisory(
                **{
                    **each,
                    "severity": number(each.get("severity")),
                    "aliases": tuple(each["aliases"]),
                }
            )
            for each in decoded["advisories"]
        ),
    )


def release(decoded: dict[str, Any]) -> RegistryRelease:
    """A golden Release message."""
    outer = decoded.get("outer_checksum")
    retired = decoded.get("retired")
    return RegistryRelease(
        decoded["version"],
        bytes.fromhex(decoded["inner_checksum"]),
        bytes.fromhex(outer) if outer else None,
        tuple(Dependency(**each) for each in decoded["dependencies"]),
        Retired(number(retired["reason"]) or 0, retired.get("message")) if retired else None,
        tuple(decoded["advisory_indexes"]),
        moment(decoded.get("published_at")),
    )


def policy(decoded: dict[str, Any]) -> Policy:
    """A golden Policy message."""
    visibility = number(decoded["visibility"])
    assert visibility is not None
    return Policy(
        decoded["repository"],
        decoded["name"],
        visibility,
        decoded.get("description"),
        tuple(map(_rules, decoded["repositories"])),
    )


def _rules(decoded: dict[str, Any]) -> RepositoryPolicy:
    restriction = decoded.get("restriction")
    return RepositoryPolicy(
        decoded["repository"],
        Restriction(
            number(restriction.get("advisory_min_severity")),
            tuple(number(each) or 0 for each in restriction["retirement_reasons"]),
            restriction.get("cooldown"),
        )
        if restriction is not None
        else None,
        tuple(
            Override(
                number(each["action"]) or 0, each["ref"]["package"], each["ref"].get("requirement")
            )
            for each in decoded["overrides"]
        ),
    )
