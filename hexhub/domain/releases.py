"""Publish, replace, revert, retire (http-api.md §3.7, §3.8, §4.4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from cluster import Transaction, View
from hexhub.domain import (
    audit,
    audited,
    mails,
    packages,
    permissions,
    quotas,
    rules,
    upstream_names,
)
from hexhub.domain.actors import Actor
from hexhub.domain.audit import Origin
from hexhub.domain.candidates import Candidate
from hexhub.errors import BadRequest, Invalid, Malformed, NotFound
from hexhub.formats.version import Version
from hexhub.schema import (
    PUBLIC,
    Downloads,
    Organization,
    Owner,
    Package,
    Release,
    Removed,
    Requirement,
    Retirement,
)

RELEASE_WINDOW = timedelta(hours=1)
PACKAGE_WINDOW = timedelta(hours=24)
REASONS = ("other", "invalid", "security", "deprecated", "renamed")
MESSAGE_LENGTH_MIN, MESSAGE_LENGTH_MAX = 3, 140


class AlreadyPublished(Invalid):
    """This exact release, byte for byte, is already here (design: consistency, repeated publish)."""


@dataclass(frozen=True, slots=True)
class UpstreamSays:
    """What the upstream says about a publish.

    `clash`: whether it has the name, `none`, `exists` or `unchecked`. `lacks`: names among the
    requirements that it does not have.
    """

    clash: str = "none"
    lacks: frozenset[str] = frozenset()


NOTHING = UpstreamSays()


@dataclass(frozen=True, slots=True)
class Published:
    package: Package
    release: Release
    replaced: bool


def find(view: View, actor: Actor, repository: str, name: str, version: str) -> Release:
    """A release that the actor may see.

    Raises BadRequest for a version that is none, before anything else; NotFound.
    """
    parsed = parse_version(version)
    package = packages.find(view, actor, repository, name)
    return _get(view, package, parsed)


def parse_version(text: str) -> Version:
    """The version in a path. Raises BadRequest."""
    try:
        return Version.parse(text)
    except Malformed:
        raise BadRequest(f"invalid version: {text}") from None


def _get(view: View, package: Package, version: Version) -> Release:
    release = view.get(Release, package.repository, package.name, str(version))
    if release is None:
        raise NotFound
    return release


def _check_publish(
    view: View,
    origin: Origin,
    repository: str,
    candidate: Candidate,
    replace: bool,
    dependency_check: str,
    now: datetime,
    upstream: UpstreamSays = NOTHING,
) -> None:
    """Whether this may be published now. Raises Invalid, Forbidden, NotFound."""
    permissions.require_owner(view, origin.actor, repository, candidate.name, "maintainer")
    package = view.get(Package, repository, candidate.name)
    if package is None:
        rules.check({"name": rules.package_name(candidate.name)})
        upstream_names.check_new(view, repository, candidate.name, upstream.clash)
    _check_not_removed(view, repository, candidate)
    _check_dependencies(view, repository, candidate, dependency_check, upstream.lacks)
    earlier = view.get(Release, repository, candidate.name, candidate.version)
    if package is not None and earlier is not None:
        _check_replace(package, earlier, candidate, replace, now)
    more = candidate.size - (earlier.size if earlier else 0)
    quotas.check(view, repository, size=more, new_package=package is None)


def _check_not_removed(view: View, repository: str, candidate: Candidate) -> None:
    """What an administrator removed stays reserved."""
    if view.get(Removed, repository, candidate.name, "") is not None:
        raise Invalid({"name": "is reserved"})
    if view.get(Removed, repository, candidate.name, candidate.version) is not None:
        raise Invalid({"version": "is reserved"})


def publish(
    tx: Transaction,
    origin: Origin,
    repository: str,
    candidate: Candidate,
    replace: bool,
    dependency_check: str,
    now: datetime,
    upstream: UpstreamSays = NOTHING,
    *,
    tell: bool = True,
    published_at: datetime | None = None,
) -> Published:
    """Add or replace a release, and its package if this is the first.

    `tell`: whether the owners get a mail. `published_at`: when it was published elsewhere before.
    """
    _check_publish(tx, origin, repository, candidate, replace, dependency_check, now, upstream)
    actor = origin.actor
    package = tx.get(Package, repository, candidate.name)
    new = package is None
    if package is None:
        package = Package(
            repository=repository,
            name=candidate.name,
            clash=upstream.clash,
            created_at=now,
            updated_at=now,
        )
        if repository == PUBLIC:
            assert actor.name is not None
            tx.put(Owner(repository=repository, package=package.name, username=actor.name))
    earlier = tx.get(Release, repository, candidate.name, candidate.version)
    more = candidate.size - (earlier.size if earlier else 0)
    quotas.charge(tx, repository, size=more, packages=int(new))
    package = msgspec.structs.replace(package, meta=candidate.meta, updated_at=now)
    release = _release(actor, repository, candidate, earlier, now)
    if earlier is None and published_at is not None:
        release = msgspec.structs.replace(release, created_at=min(published_at, now))
    tx.put(package)
    tx.put(release)
    audit.record(
        tx, origin, "release.publish", audited.release(package, release), now, package=package
    )
    if tell:
        _tell_owners(tx, package, release, now)
    return Published(package, release, replaced=earlier is not None)


def _tell_owners(tx: Transaction, package: Package, release: Release, now: datetime) -> None:
    owners = [owner.username for owner in tx.scan(Owner, package.repository, package.name)]
    values = {
        "package": package.name,
        "version": release.version,
        "publisher": release.publisher or "",
        "organization": "" if package.repository == PUBLIC else package.repository,
    }
    mails.queue_for_users(tx, owners, "release_published", values, now)


def _release(
    actor: Actor,
    repository: str,
    candidate: Candidate,
    earlier: Release | None,
    now: datetime,
) -> Release:
    return Release(
        repository=repository,
        package=candidate.name,
        version=candidate.version,
        inner_checksum=candidate.inner_checksum,
        outer_checksum=candidate.outer_checksum,
        size=candidate.size,
        app=candidate.app,
        build_tools=candidate.build_tools,
        elixir=candidate.elixir,
        requirements=candidate.requirements,
        retirement=earlier.retirement if earlier else None,
        docs_checksum=earlier.docs_checksum if earlier else None,
        publisher=actor.name,
        created_at=earlier.created_at if earlier else now,
        updated_at=now,
    )


def _check_replace(
    package: Package, earlier: Release, candidate: Candidate, replace: bool, now: datetime
) -> None:
    refusal = Invalid
    if earlier.outer_checksum == candidate.outer_checksum:
        refusal = AlreadyPublished
    if not _in_window(package, earlier, now):
        raise refusal({"inserted_at": "can only modify a release up to one hour after publication"})
    if not replace:
        raise refusal(
            {"inserted_at": "must include the --replace flag to update an existing release"}
        )


def _in_window(package: Package, release: Release, now: datetime) -> bool:
    """Public releases change for an hour, those of a young package for a day."""
    return (
        package.repository != PUBLIC
        or now - release.created_at <= RELEASE_WINDOW
        or now - package.created_at <= PACKAGE_WINDOW
    )


def _check_dependencies(
    view: View,
    repository: str,
    candidate: Candidate,
    dependency_check: str,
    lacks: frozenset[str],
) -> None:
    missing = {
        requirement.package: (f'package does not exist in repository "{requirement.repository}"')
        for requirement in candidate.requirements
        if _must_be_here(view, requirement, dependency_check, lacks)
        and (requirement.repository, requirement.package) != (repository, candidate.name)
        and view.get(Package, requirement.repository, requirement.package) is None
    }
    if missing:
        raise Invalid({"requirements": missing})


def _must_be_here(
    view: View, requirement: Requirement, dependency_check: str, lacks: frozenset[str]
) -> bool:
    """`upstream` leaves public names to the upstream; an organization's are always ours."""
    if dependency_check == "own":
        return True
    if dependency_check == "upstream" and requirement.repository == PUBLIC:
        return requirement.package in lacks
    return dependency_check == "upstream" and (
        view.get(Organization, requirement.repository) is not None
    )


def revert(
    tx: Transaction, origin: Origin, repository: str, name: str, version: str, now: datetime
) -> None:
    """Take a release away; with the last one the package goes too (http-api.md §3.7)."""
    parsed = parse_version(version)
    package = _writable(tx, origin.actor, repository, name)
    release = _get(tx, package, parsed)
    if not _in_window(package, release, now):
        raise Invalid({"inserted_at": "can only delete a release up to one hour after publication"})
    others = [r for r in tx.scan(Release, repository, name) if r.version != release.version]
    for row in list(tx.scan(Downloads, repository, name, release.version)):
        tx.delete(row)
    tx.delete(release)
    quotas.charge(tx, repository, size=-release.size, packages=0 if others else -1)
    audit.record(
        tx, origin, "release.revert", audited.release(package, release), now, package=package
    )
    if others:
        tx.put(msgspec.structs.replace(package, updated_at=now))
        return
    if any(
        dependant.package != name or dependant.repository != repository
        for dependant in tx.find(Release, "requires", f"{repository}/{name}")
    ):
        raise Invalid(
            {"name": "you cannot delete this package because other packages depend on it"}
        )
    for owner in list(tx.scan(Owner, repository, name)):
        tx.delete(owner)
    tx.delete(package)


def retire(
    tx: Transaction,
    origin: Origin,
    repository: str,
    name: str,
    version: str,
    retirement: Retirement,
    now: datetime,
) -> None:
    """Mark a release as one that should no longer be used."""
    _change_retirement(tx, origin, repository, name, version, retirement, now)


def retire_all(
    tx: Transaction,
    origin: Origin,
    repository: str,
    name: str,
    retirement: Retirement,
    *,
    replace: bool,
    now: datetime,
) -> None:
    """Mark every release that is not retired yet, or every one (`replace`)."""
    _writable(tx, origin.actor, repository, name)
    for release in list(tx.scan(Release, repository, name)):
        if release.retirement is None or replace:
            retire(tx, origin, repository, name, release.version, retirement, now)


def unretire(
    tx: Transaction, origin: Origin, repository: str, name: str, version: str, now: datetime
) -> None:
    """Take the mark off again, if there is one."""
    _change_retirement(tx, origin, repository, name, version, None, now)


def _change_retirement(
    tx: Transaction,
    origin: Origin,
    repository: str,
    name: str,
    version: str,
    retirement: Retirement | None,
    now: datetime,
) -> None:
    parsed = parse_version(version)
    package = _writable(tx, origin.actor, repository, name)
    release = _get(tx, package, parsed)
    if release.retirement == retirement:
        return
    release = msgspec.structs.replace(release, retirement=retirement, updated_at=now)
    tx.put(release)
    tx.put(msgspec.structs.replace(package, updated_at=now))
    action = "release.retire" if retirement else "release.unretire"
    audit.record(tx, origin, action, audited.release(package, release), now, package=package)


def _writable(view: View, actor: Actor, repository: str, name: str) -> Package:
    """An existing package that the actor may change as a maintainer."""
    permissions.require_owner(view, actor, repository, name, "maintainer")
    package = view.get(Package, repository, name)
    if package is None:
        raise NotFound
    return package


def retirement(reason: object, message: object) -> Retirement:
    """Check what a client says about a retirement (http-api.md §3.8). Raises Invalid."""
    problems = {"reason": _reason_problem(reason), "message": _message_problem(message)}
    errors = {field: problem for field, problem in problems.items() if problem}
    if errors:
        raise Invalid({"retirement": errors})
    return Retirement(reason=str(reason), message=None if _is_blank(message) else str(message))


def _is_blank(message: object) -> bool:
    return message is None or (isinstance(message, str) and not message.strip())


def _reason_problem(reason: object) -> str | None:
    problem = rules.text(reason)
    return problem or (None if reason in REASONS else "is invalid")


def _message_problem(message: object) -> str | None:
    if _is_blank(message):
        return None
    if problem := rules.text(message):
        return problem
    if len(str(message)) < MESSAGE_LENGTH_MIN:
        return f"should be at least {MESSAGE_LENGTH_MIN} character(s)"
    if len(str(message)) > MESSAGE_LENGTH_MAX:
        return f"should be at most {MESSAGE_LENGTH_MAX} character(s)"
    return None
