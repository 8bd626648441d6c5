"""What registry resources say, as plain values (registry.md §3).

Enumerations are plain ints in the fields: a number that we do not know is kept. The IntEnums name the known ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum


class RetirementReason(IntEnum):
    """Why a release was retired."""

    OTHER = 0
    INVALID = 1
    SECURITY = 2
    DEPRECATED = 3
    RENAMED = 4


class Severity(IntEnum):
    """How bad an advisory is."""

    NONE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class Visibility(IntEnum):
    """Who may read a policy."""

    PRIVATE = 0
    PUBLIC = 1


class OverrideAction(IntEnum):
    """What an override of a policy does; the last three lift just that rule."""

    ALLOW = 0
    DENY = 1
    ADVISORY = 2
    RETIREMENT = 3
    COOLDOWN = 4


@dataclass(frozen=True, slots=True)
class Dependency:
    """`app` is None when equal to `package`, `repository` when it is the package's own; `optional` True or None.

    False is written out as well, which Gleam takes for true (registry.md T7): only for bytes made elsewhere.
    """

    package: str
    requirement: str
    optional: bool | None = None
    app: str | None = None
    repository: str | None = None


@dataclass(frozen=True, slots=True)
class Retired:
    """`reason` is a RetirementReason or a number unknown to us."""

    reason: int
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Advisory:
    """A security advisory of a package; `severity` is a Severity or a number unknown to us."""

    id: str
    summary: str
    html_url: str
    api_url: str
    severity: int | None = None
    cvss_score: float | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RegistryRelease:
    """Checksums are 32 raw bytes; `advisory_indexes` are positions in the package's advisories."""

    version: str
    inner_checksum: bytes
    outer_checksum: bytes | None = None
    dependencies: tuple[Dependency, ...] = ()
    retired: Retired | None = None
    advisory_indexes: tuple[int, ...] = ()
    published_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RegistryPackage:
    """The resource `packages/NAME`; `repository` is the bare name (`hexpm`, `acme`)."""

    name: str
    repository: str
    releases: tuple[RegistryRelease, ...] = ()
    advisories: tuple[Advisory, ...] = ()


@dataclass(frozen=True, slots=True)
class NamesEntry:
    """One package of the resource `names`."""

    name: str
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class VersionsEntry:
    """One package of the resource `versions`; `retired` and `with_advisories` are positions in `versions`."""

    name: str
    versions: tuple[str, ...] = ()
    retired: tuple[int, ...] = ()
    with_advisories: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Names:
    """The resource `names`."""

    repository: str
    packages: tuple[NamesEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Versions:
    """The resource `versions`."""

    repository: str
    packages: tuple[VersionsEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Restriction:
    """What a policy holds back; `cooldown` is `0`, `<n>d`, `<n>w` or `<n>mo`."""

    advisory_min_severity: int | None = None
    retirement_reasons: tuple[int, ...] = ()
    cooldown: str | None = None


@dataclass(frozen=True, slots=True)
class Override:
    """An exception of a policy; `action` is an OverrideAction or a number unknown to us."""

    action: int
    package: str
    requirement: str | None = None


@dataclass(frozen=True, slots=True)
class RepositoryPolicy:
    """The rules of a policy for one repository."""

    repository: str
    restriction: Restriction | None = None
    overrides: tuple[Override, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """The resource `policies/NAME`; `visibility` is a Visibility or a number unknown to us."""

    repository: str
    name: str
    visibility: int
    description: str | None = None
    repositories: tuple[RepositoryPolicy, ...] = ()
