"""Who may do what: what a key grants, and what its owner is to a package or repository.

http-api.md §2.6 (what a credential grants) and §2.7 (subject rules).
"""

from __future__ import annotations

from cluster import View
from hexhub.domain import organizations, scopes
from hexhub.domain.actors import Actor
from hexhub.errors import Forbidden, NotFound, Unauthenticated
from hexhub.schema import PUBLIC, Key, Organization, Owner, Package, Token

DOMAINS = ("api", "package", "repository", "repositories", "docs")
LEVELS = ("maintainer", "full")
ROLE_OF_LEVEL = {"maintainer": "write", "full": "admin"}

MISSING = "missing authentication information"
NOT_AUTHORIZED = "key not authorized for this action"
NOT_ALLOWED = "account not authorized for this action"


def grants(credential: Key | Token, domain: str, resource: str | None = None) -> bool:
    """Whether a key or a token carries a permission (the table of http-api.md §2.6)."""
    if isinstance(credential, Key):
        return any(
            _grants(given.domain, given.resource, domain, resource)
            for given in credential.permissions
        )
    if domain == "package" and grants(credential, "api", "write"):
        return True
    given_by_scope = map(scopes.permission, credential.scopes)
    return any(_grants(given.domain, given.resource, domain, resource) for given in given_by_scope)


def _grants(given: str, given_resource: str | None, domain: str, resource: str | None) -> bool:
    match domain:
        case "api" if resource == "write":
            return given == "api" and given_resource in (None, "write")
        case "api":
            return given in ("api", "package")
        case "package":
            return given == "package" and given_resource in (None, resource)
        case "repositories":
            return given == "repositories"
        case "repository":
            return given == "repositories" or (given == "repository" and given_resource == resource)
        case "docs":
            return given == "docs" and given_resource == resource
    return False


def require_credentials(actor: Actor) -> None:
    """Raise 401 for nobody."""
    if actor.anonymous:
        raise Unauthenticated(MISSING)


def require_verified(actor: Actor) -> None:
    """Raise 403 for a user whose primary address is not verified (§2.7)."""
    if actor.user is not None and not actor.user.verified:
        raise Forbidden("email not verified")


def require_read(actor: Actor) -> None:
    """Raise 401 when the key shown does not grant API reads."""
    if actor.credential is not None and not grants(actor.credential, "api", "read"):
        raise Unauthenticated(NOT_AUTHORIZED)


def require_write(actor: Actor, package: str | None = None) -> None:
    """Raise 401 unless the key grants API writes, or writes to `repository/name`."""
    shown = actor.credential
    if shown is None or grants(shown, "api", "write"):
        return
    if package is None or not grants(shown, "package", package):
        raise Unauthenticated(NOT_AUTHORIZED)


def may_see(view: View, actor: Actor, repository: str) -> bool:
    """Whether the actor may know of this repository at all."""
    return repository == PUBLIC or _is_let_in(view, actor, repository, "read")


def _is_let_in(view: View, actor: Actor, organization: str, role: str) -> bool:
    """Whether there is such an organization, and the actor has this role in it.

    Both rows are read whatever the first one says, so that a hidden organization answers no later
    than one that is not there.
    """
    exists = view.get(Organization, organization) is not None
    return has_role(view, actor, organization, role) and exists


def has_role(view: View, actor: Actor, organization: str, role: str) -> bool:
    """Whether the actor is the organization or a member of it with at least this role."""
    if actor.organization is not None:
        return actor.organization == organization
    if actor.user is None:
        return False
    return organizations.includes(
        organizations.role_of(view, organization, actor.user.username), role
    )


def require_access(view: View, actor: Actor, repository: str, role: str = "read") -> None:
    """The rule *org-access*: raise NotFound for a repository the actor may not use so."""
    if repository == PUBLIC:
        if role != "read":
            raise Forbidden(NOT_ALLOWED)
        return
    if not _is_let_in(view, actor, repository, role):
        raise NotFound


def may_fetch(view: View, actor: Actor, repository: str) -> bool:
    """Whether repository paths of an organization may be read (registry.md §7)."""
    if actor.anonymous:
        return False
    shown = actor.credential
    if shown is not None and not grants(shown, "repository", repository):
        return False
    return _is_let_in(view, actor, repository, "read")


def is_owner(view: View, actor: Actor, repository: str, package: str, level: str) -> bool:
    """Whether the actor has this level on an existing package (rule *package-owner*)."""
    if repository != PUBLIC and not has_role(view, actor, repository, "read"):
        return False
    if actor.organization is not None and repository == actor.organization:
        return True
    role = ROLE_OF_LEVEL[level]
    if repository != PUBLIC and has_role(view, actor, repository, role):
        return True
    return any(
        _owns(view, actor, owner, level, role) for owner in view.scan(Owner, repository, package)
    )


def _owns(view: View, actor: Actor, owner: Owner, level: str, role: str) -> bool:
    if owner.username == actor.name:
        return LEVELS.index(owner.level) >= LEVELS.index(level)
    organization = view.get(Organization, owner.username)
    return organization is not None and has_role(view, actor, organization.name, role)


def require_owner(view: View, actor: Actor, repository: str, package: str, level: str) -> None:
    """The rule *package-owner*; an unknown package asks for the right to create it."""
    if repository != PUBLIC:
        require_access(view, actor, repository)
    if view.get(Package, repository, package) is not None:
        if not is_owner(view, actor, repository, package, level):
            raise Forbidden(NOT_ALLOWED) if repository == PUBLIC else NotFound
        return
    if repository != PUBLIC and not has_role(view, actor, repository, ROLE_OF_LEVEL[level]):
        raise Forbidden(NOT_ALLOWED)
