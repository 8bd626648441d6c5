"""Registry resources: values <-> protobuf payloads, and the envelope around them (registry.md §2-§4).

Order is the caller's (registry.md §3, "Ordering rules"): entries by name, versions ascending, and what is
decoded is encoded again in the same order. Decoding bounds nothing: bound and verify the body with `unseal`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from hexhub.errors import Malformed
from hexhub.formats import registry_pb2 as pb
from hexhub.formats.envelope import deflated, seal, seal_parts, sign, unseal
from hexhub.formats.registry_values import (
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

__all__ = [
    "Advisory",
    "Dependency",
    "Names",
    "NamesEntry",
    "Override",
    "OverrideAction",
    "Policy",
    "RegistryPackage",
    "RegistryRelease",
    "RepositoryPolicy",
    "Restriction",
    "Retired",
    "RetirementReason",
    "Severity",
    "Versions",
    "VersionsEntry",
    "Visibility",
    "decode_names",
    "decode_package",
    "decode_policy",
    "decode_versions",
    "deflated",
    "encode_names",
    "encode_package",
    "encode_policy",
    "encode_versions",
    "join",
    "names_chunk",
    "repository_part",
    "seal",
    "seal_parts",
    "sign",
    "unseal",
    "versions_chunk",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CHECKSUM_SIZE = 32  # bytes

M = TypeVar("M", bound=Message)
T = TypeVar("T")


def encode_names(repository: str, entries: Iterable[NamesEntry]) -> bytes:
    """The payload of `names`."""
    return join(map(names_chunk, entries), repository)


def encode_versions(repository: str, entries: Iterable[VersionsEntry]) -> bytes:
    """The payload of `versions`."""
    return join(map(versions_chunk, entries), repository)


def names_chunk(entry: NamesEntry) -> bytes:
    """The part of the payload of `names` that is about one package."""
    package = pb.Names.Package(name=entry.name, updated_at=_timestamp(entry.updated_at))
    return pb.Names(packages=[package]).SerializeToString()


def versions_chunk(entry: VersionsEntry) -> bytes:
    """The part of the payload of `versions` that is about one package."""
    package = pb.Versions.Package(
        name=entry.name,
        versions=entry.versions,
        retired=entry.retired,
        with_advisories=entry.with_advisories,
    )
    return pb.Versions(packages=[package]).SerializeToString()


def join(chunks: Iterable[bytes], repository: str) -> bytes:
    """The payload of `names` or `versions` made of chunks: a repeated field is its parts in a row."""
    return b"".join(chunks) + repository_part(repository)


def repository_part(repository: str) -> bytes:
    """The end of the payload of `names` or `versions`: field 2 in both, behind the packages."""
    return pb.Names(repository=repository).SerializeToString()


def encode_package(package: RegistryPackage) -> bytes:
    """The payload of `packages/NAME`."""
    return pb.Package(
        releases=[_encode_release(release) for release in package.releases],
        name=package.name,
        repository=package.repository,
        advisories=[_encode_advisory(advisory) for advisory in package.advisories],
    ).SerializeToString()


def encode_policy(policy: Policy) -> bytes:
    """The payload of `policies/NAME`."""
    return pb.Policy(
        repository=policy.repository,
        name=policy.name,
        description=policy.description,
        visibility=policy.visibility,
        repositories=[_encode_rules(rules) for rules in policy.repositories],
    ).SerializeToString()


def decode_names(payload: bytes) -> Names:
    """Read the payload of `names`. Raises Malformed."""
    return _decode(pb.Names, payload, _decode_names)


def decode_versions(payload: bytes) -> Versions:
    """Read the payload of `versions`. Raises Malformed."""
    return _decode(pb.Versions, payload, _decode_versions)


def decode_package(payload: bytes) -> RegistryPackage:
    """Read the payload of `packages/NAME`. Raises Malformed."""
    return _decode(pb.Package, payload, _decode_package)


def decode_policy(payload: bytes) -> Policy:
    """Read the payload of `policies/NAME`. Raises Malformed."""
    return _decode(pb.Policy, payload, _decode_policy)


def _encode_release(release: RegistryRelease) -> pb.Release:
    retired = release.retired
    return pb.Release(
        version=release.version,
        inner_checksum=release.inner_checksum,
        outer_checksum=release.outer_checksum,
        dependencies=[
            pb.Dependency(
                package=each.package,
                requirement=each.requirement,
                optional=each.optional,
                app=each.app,
                repository=each.repository,
            )
            for each in release.dependencies
        ],
        retired=pb.Retired(reason=retired.reason, message=retired.message) if retired else None,
        advisory_indexes=release.advisory_indexes,
        published_at=_timestamp(release.published_at),
    )


def _encode_advisory(advisory: Advisory) -> pb.Advisory:
    return pb.Advisory(
        id=advisory.id,
        summary=advisory.summary,
        html_url=advisory.html_url,
        severity=advisory.severity,
        cvss_score=advisory.cvss_score,
        api_url=advisory.api_url,
        aliases=advisory.aliases,
    )


def _encode_rules(rules: RepositoryPolicy) -> pb.RepositoryPolicy:
    restriction = rules.restriction
    return pb.RepositoryPolicy(
        repository=rules.repository,
        restriction=None
        if restriction is None
        else pb.Restriction(
            advisory_min_severity=restriction.advisory_min_severity,
            retirement_reasons=restriction.retirement_reasons,
            cooldown=restriction.cooldown,
        ),
        overrides=[
            pb.Override(
                action=each.action,
                ref=pb.PackageRef(package=each.package, requirement=each.requirement),
            )
            for each in rules.overrides
        ],
    )


def _timestamp(moment: datetime | None) -> pb.Timestamp | None:
    if moment is None:
        return None
    since = moment - EPOCH
    return pb.Timestamp(
        seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1_000
    )


def _decode(message: type[M], payload: bytes, read: Callable[[M], T]) -> T:
    try:
        return read(message.FromString(payload))
    except (DecodeError, UnicodeDecodeError):
        raise Malformed(f"registry resource: not a {message.DESCRIPTOR.name} message") from None


def _decode_names(names: pb.Names) -> Names:
    _require(names, "repository")
    return Names(names.repository, tuple(map(_decode_names_entry, names.packages)))


def _decode_names_entry(package: pb.Names.Package) -> NamesEntry:
    _require(package, "name")
    return NamesEntry(package.name, _moment(package, "updated_at"))


def _decode_versions(versions: pb.Versions) -> Versions:
    _require(versions, "repository")
    return Versions(versions.repository, tuple(map(_decode_versions_entry, versions.packages)))


def _decode_versions_entry(package: pb.Versions.Package) -> VersionsEntry:
    _require(package, "name")
    entry = VersionsEntry(
        package.name,
        tuple(package.versions),
        tuple(package.retired),
        tuple(package.with_advisories),
    )
    _check_positions(entry.retired, len(entry.versions))
    _check_positions(entry.with_advisories, len(entry.versions))
    return entry


def _decode_package(package: pb.Package) -> RegistryPackage:
    _require(package, "name", "repository")
    return RegistryPackage(
        package.name,
        package.repository,
        tuple(map(_decode_release, package.releases)),
        tuple(map(_decode_advisory, package.advisories)),
    )


def _decode_release(release: pb.Release) -> RegistryRelease:
    _require(release, "version", "inner_checksum")
    outer = _given(release, "outer_checksum", release.outer_checksum)
    if len(release.inner_checksum) != CHECKSUM_SIZE or len(outer or bytes(32)) != CHECKSUM_SIZE:
        raise Malformed("registry resource: a checksum must have 32 bytes")
    return RegistryRelease(
        release.version,
        release.inner_checksum,
        outer,
        tuple(map(_decode_dependency, release.dependencies)),
        _decode_retired(release.retired) if release.HasField("retired") else None,
        tuple(release.advisory_indexes),
        _moment(release, "published_at"),
    )


def _decode_dependency(dependency: pb.Dependency) -> Dependency:
    _require(dependency, "package", "requirement")
    return Dependency(
        dependency.package,
        dependency.requirement,
        _given(dependency, "optional", dependency.optional),
        _given(dependency, "app", dependency.app),
        _given(dependency, "repository", dependency.repository),
    )


def _decode_retired(retired: pb.Retired) -> Retired:
    _require(retired, "reason")
    return Retired(retired.reason, _given(retired, "message", retired.message))


def _decode_advisory(advisory: pb.Advisory) -> Advisory:
    _require(advisory, "id", "summary", "html_url", "api_url")
    return Advisory(
        advisory.id,
        advisory.summary,
        advisory.html_url,
        advisory.api_url,
        _given(advisory, "severity", advisory.severity),
        _given(advisory, "cvss_score", advisory.cvss_score),
        tuple(advisory.aliases),
    )


def _decode_policy(policy: pb.Policy) -> Policy:
    _require(policy, "repository", "name", "visibility")
    return Policy(
        policy.repository,
        policy.name,
        policy.visibility,
        _given(policy, "description", policy.description),
        tuple(map(_decode_rules, policy.repositories)),
    )


def _decode_rules(rules: pb.RepositoryPolicy) -> RepositoryPolicy:
    _require(rules, "repository")
    restriction = rules.restriction
    return RepositoryPolicy(
        rules.repository,
        Restriction(
            _given(restriction, "advisory_min_severity", restriction.advisory_min_severity),
            tuple(restriction.retirement_reasons),
            _given(restriction, "cooldown", restriction.cooldown),
        )
        if rules.HasField("restriction")
        else None,
        tuple(map(_decode_override, rules.overrides)),
    )


def _decode_override(override: pb.Override) -> Override:
    _require(override, "action", "ref")
    ref = override.ref
    _require(ref, "package")
    return Override(override.action, ref.package, _given(ref, "requirement", ref.requirement))


def _given(message: Message, field: str, value: T) -> T | None:
    return value if message.HasField(field) else None


def _require(message: Message, *fields: str) -> None:
    for field in fields:
        if not message.HasField(field):
            raise Malformed(f"registry resource: {message.DESCRIPTOR.name} without {field}")


def _check_positions(positions: tuple[int, ...], count: int) -> None:
    if any(not 0 <= position < count for position in positions):
        raise Malformed("registry resource: a position outside the list of versions")


def _moment(message: pb.Names.Package | pb.Release, field: str) -> datetime | None:
    if not message.HasField(field):
        return None
    stamp: pb.Timestamp = getattr(message, field)
    _require(stamp, "seconds", "nanos")
    if not 0 <= stamp.nanos < 1_000_000_000:
        raise Malformed("registry resource: nanos out of range")
    try:
        return EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1_000)
    except OverflowError:
        raise Malformed("registry resource: a time out of range") from None
