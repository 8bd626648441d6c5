"""OAuth scopes: the texts, and the permissions that they stand for (http-api.md §2.6, §3.13)."""

from __future__ import annotations

from collections.abc import Iterable

from cluster import View
from hexhub.domain import organizations
from hexhub.errors import OauthRefused
from hexhub.schema import PUBLIC, Key, Member, Permission

SCOPES_MAX = 200
LENGTH_MAX = 8192
WRITING = frozenset({"api", "api:write"})
MEANINGS = {
    "api": "Read and change everything you can by the API",
    "api:read": "See your account, organizations and packages",
    "api:write": "Publish packages, and change packages, keys and organizations",
    "repositories": "Fetch packages from every organization of yours",
}
"""What a person is asked to agree to."""


def split(text: object) -> tuple[str, ...]:
    """The scopes of a parameter, each once. Raises OauthRefused for one that is no text."""
    if text is None:
        return ()
    if not isinstance(text, str) or len(text) > LENGTH_MAX or not text.isprintable():
        raise OauthRefused("invalid_scope", "Invalid scope")
    found = tuple(dict.fromkeys(text.split()))
    if len(found) > SCOPES_MAX:
        raise OauthRefused("invalid_scope", "Invalid scope")
    return found


def spelled_out(scopes: Iterable[str]) -> tuple[str, ...]:
    """`api` as the two scopes that it consists of, so that a person may choose."""
    both = ("api:read", "api:write")
    parts = (part for scope in scopes for part in (both if scope == "api" else (scope,)))
    return tuple(dict.fromkeys(parts))


def permission(scope: str) -> Permission:
    """The permission that a scope stands for."""
    domain, _, resource = scope.partition(":")
    return Permission(domain=domain, resource=resource or None)


def writes(scopes: Iterable[str]) -> bool:
    """Whether one of them lets a client change something."""
    return any(scope in WRITING or scope.startswith("package") for scope in scopes)


def meaning(scope: str) -> str:
    """A scope in words for the person who is asked."""
    domain, _, resource = scope.partition(":")
    if domain == "repository":
        return f"Fetch packages from {resource}"
    return MEANINGS.get(scope, scope)


def expanded(view: View, owner: str, granted: Iterable[str]) -> tuple[str, ...]:
    """`repositories` as one `repository:NAME` for each that the owner has now."""
    found: list[str] = []
    for scope in granted:
        if scope == "repositories":
            found += [f"repository:{name}" for name in repositories(view, owner)]
        else:
            found.append(scope)
    return tuple(dict.fromkeys(found))


def repositories(view: View, owner: str) -> list[str]:
    """The repositories of `user:NAME` (the public one first) or `org:NAME` (its own)."""
    kind, _, name = owner.partition(":")
    if kind == "org":
        return [name]
    return [PUBLIC, *sorted(row.organization for row in view.find(Member, "user", name))]


def of_key(view: View, key: Key, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """What a key is exchanged for, of what was asked. Raises OauthRefused for more than it gives."""
    allowed = {text for given in key.permissions for text in _allowed(given)}
    every = any(given.domain == "repositories" for given in key.permissions)
    found: list[str] = []
    for scope in wanted:
        if scope == "repositories":
            covered = (f"repository:{name}" for name in repositories(view, key.owner))
            found += [text for text in covered if every or text in allowed]
        elif scope in allowed or (every and scope.startswith("repository:") and len(scope) > 11):
            found.append(scope)
        else:
            raise OauthRefused("invalid_scope", "Requested scopes exceed API key permissions")
    return tuple(dict.fromkeys(found))


def _allowed(given: Permission) -> tuple[str, ...]:
    match given.domain, given.resource:
        case "api", None:
            return ("api", "api:read", "api:write")
        case "api", "write":
            return ("api:read", "api:write")
        case "api", "read":
            return ("api:read",)
        case "repository", str(name):
            return (f"repository:{name}",)
    return ()


def within(view: View, owner: str, scopes: Iterable[str]) -> bool:
    """Whether the owner is in every repository that the scopes name."""
    kind, _, name = owner.partition(":")
    named = [scope.partition(":")[2] for scope in scopes if scope.startswith("repository:")]
    if kind == "org":
        return all(repository == name for repository in named)
    return all(
        repository == PUBLIC or organizations.role_of(view, repository, name) is not None
        for repository in named
    )
