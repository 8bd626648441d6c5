"""The objects of the API, as clients expect them (http-api.md §3.0 and Appendix A)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from urllib.parse import quote

from cluster import View
from hexhub.domain import (
    advisories,
    downloads,
    organizations,
    owners,
    packages,
    permissions,
    policies,
    snippets,
    users,
)
from hexhub.domain.actors import Actor
from hexhub.hub import Hub
from hexhub.schema import (
    PUBLIC,
    Advisory,
    Key,
    KeyUse,
    Member,
    Organization,
    Owner,
    Package,
    Policy,
    Release,
    Requirement,
    Retirement,
    User,
)

Object = dict[str, object]


def _segment(text: str) -> str:
    return quote(text, safe="@:+!$&'()*,;=-._~")


def user_minimal(hub: Hub, user: User) -> Object:
    value: Object = {"username": user.username, "url": f"{hub.api_url}/users/{user.username}"}
    if user.public_address:
        value["email"] = user.public_address
    return value


def user_full(hub: Hub, user: User) -> Object:
    """A user; `full_name` is left out when unset, since rebar3_hex crashes on null."""
    value = user_minimal(hub, user) | {
        "handles": user.handles,
        "inserted_at": user.created_at,
        "updated_at": user.updated_at,
    }
    if user.full_name:
        value["full_name"] = user.full_name
    return value


def user_with_packages(hub: Hub, view: View, actor: Actor, user: User) -> Object:
    """A user with the packages that the caller may see."""
    visible = [
        owner
        for owner in users.owned(view, user.username)
        if permissions.may_see(view, actor, owner.repository)
    ]
    visible.sort(key=lambda owner: (owner.repository != PUBLIC, owner.repository, owner.package))
    return user_full(hub, user) | {
        "owned_packages": {
            owner.package: package_url(hub, owner.repository, owner.package) for owner in visible
        },
        "packages": [
            {
                "name": owner.package,
                "repository": owner.repository,
                "url": package_url(hub, owner.repository, owner.package),
                "html_url": package_html_url(hub, owner.repository, owner.package),
            }
            for owner in visible
        ],
    }


def me(hub: Hub, view: View, actor: Actor, user: User) -> Object:
    """The caller; Mix crashes while publishing when `organizations` is missing."""
    return user_with_packages(hub, view, actor, user) | {
        "organizations": [
            {"name": member.organization, "role": member.role}
            for member in users.organizations(view, user.username)
        ]
    }


def organization_user(hub: Hub, organization: Organization) -> Object:
    """An organization where a user is expected."""
    return {
        "username": organization.name,
        "url": f"{hub.api_url}/users/{organization.name}",
        "handles": {},
        "inserted_at": organization.created_at,
        "updated_at": organization.updated_at,
    }


def organization(row: Organization) -> Object:
    """An organization in a list. There is no billing: every one is active (http-api.md §4.1)."""
    return {
        "name": row.name,
        "billing_active": True,
        "inserted_at": row.created_at,
        "updated_at": row.updated_at,
    }


def policy(hub: Hub, row: Policy) -> Object:
    """A policy, and where clients find it signed."""
    return policies.shown(row) | {
        "url": f"{hub.api_url}/orgs/{row.organization}/policies/{row.name}",
        "resource_url": f"{hub.url}/repos/{row.organization}/policies/{row.name}",
        "inserted_at": row.created_at,
        "updated_at": row.updated_at,
    }


def repository(name: str, row: Organization | None, show: bool) -> Object:
    """A repository; the public one has no dates in a list (http-api.md §3.0)."""
    value: Object = {"name": name}
    if row is not None:
        value |= {"inserted_at": row.created_at, "updated_at": row.updated_at}
    elif not show:
        value |= {"inserted_at": None, "updated_at": None}
    return value


def member(hub: Hub, view: View, row: Member) -> Object:
    """A member in a list."""
    return _who_minimal(hub, view, row.username) | {"role": row.role}


def _who_minimal(hub: Hub, view: View, username: str) -> Object:
    user = view.get(User, username)
    if user is not None:
        return user_minimal(hub, user)
    return {"username": username, "url": f"{hub.api_url}/users/{username}"}


def owner_full(hub: Hub, view: View, owner: Owner) -> Object:
    user = view.get(User, owner.username)
    if user is not None:
        return user_full(hub, user) | {"level": owner.level}
    return organization_user(hub, organizations.find(view, owner.username)) | {"level": owner.level}


def package_url(hub: Hub, repository: str, name: str) -> str:
    prefix = "" if repository == PUBLIC else f"/repos/{repository}"
    return f"{hub.api_url}{prefix}/packages/{name}"


def package_html_url(hub: Hub, repository: str, name: str) -> str:
    prefix = "" if repository == PUBLIC else f"/{repository}"
    return f"{hub.url}/packages{prefix}/{name}"


def docs_html_url(hub: Hub, repository: str, name: str) -> str:
    prefix = "" if repository == PUBLIC else f"/repos/{repository}"
    return f"{hub.url}{prefix}/docs/{name}/"


def release_url(hub: Hub, release: Release) -> str:
    base = package_url(hub, release.repository, release.package)
    return f"{base}/releases/{_segment(release.version)}"


def docs_archive_url(hub: Hub, release: Release) -> str:
    """Where the docs archive is fetched; Mix prints it after publishing (http-api.md §3.9)."""
    prefix = "" if release.repository == PUBLIC else f"/repos/{release.repository}"
    return f"{hub.url}{prefix}/docs/{release.package}-{_segment(release.version)}.tar.gz"


def package_index(hub: Hub, view: View, package: Package, today: date) -> Object:
    """A package as lists show it."""
    releases = packages.releases(view, package)
    return _package(hub, view, package, releases, today, app=None)


def package_show(hub: Hub, view: View, package: Package, today: date) -> Object:
    """A package as its own page shows it."""
    releases = packages.releases(view, package)
    latest = packages.latest(releases)
    app = latest.app if latest else None
    return _package(hub, view, package, releases, today, app=app) | {
        "owners": [
            _who_minimal(hub, view, owner.username) for owner in owners.all_of(view, package)
        ],
        "security_advisories": [
            advisory(row, package.repository, package.name)
            for row in newest_advisories(view, package.repository, package.name)
        ],
    }


def _package(
    hub: Hub,
    view: View,
    package: Package,
    releases: Sequence[Release],
    today: date,
    *,
    app: str | None,
) -> Object:
    repository, name = package.repository, package.name
    latest, stable = packages.latest(releases), packages.latest_stable(releases)
    has_docs = any(release.has_docs for release in releases)
    return {
        "name": name,
        "repository": repository,
        "url": package_url(hub, repository, name),
        "html_url": package_html_url(hub, repository, name),
        "docs_html_url": docs_html_url(hub, repository, name) if has_docs else None,
        "inserted_at": package.created_at,
        "updated_at": package.updated_at,
        "latest_version": releases[0].version if releases else None,
        "latest_stable_version": stable.version if stable else None,
        "configs": snippets.configs(repository, name, app or name, latest.version)
        if latest
        else {},
        "meta": {
            "description": package.meta.description,
            "licenses": list(package.meta.licenses),
            "links": package.meta.links,
            "maintainers": list(package.meta.maintainers),
        },
        "releases": [
            {
                "version": release.version,
                "url": release_url(hub, release),
                "has_docs": release.has_docs,
                "inserted_at": release.created_at,
            }
            for release in releases
        ],
        "retirements": {
            release.version: retirement(release.retirement)
            for release in releases
            if release.retirement
        },
        "downloads": downloads.of_package(view, repository, name, today),
    }


def release_published(hub: Hub, view: View, release: Release) -> Object:
    """A release as the answer to a publish."""
    base = f"{package_html_url(hub, release.repository, release.package)}"
    docs = docs_html_url(hub, release.repository, release.package)
    return {
        "version": release.version,
        "checksum": release.outer_checksum.hex(),
        "has_docs": release.has_docs,
        "inserted_at": release.created_at,
        "updated_at": release.updated_at,
        "retirement": retirement(release.retirement) if release.retirement else None,
        "package_url": package_url(hub, release.repository, release.package),
        "url": release_url(hub, release),
        "html_url": f"{base}/{_segment(release.version)}",
        "docs_html_url": f"{docs}{_segment(release.version)}/" if release.has_docs else None,
        "requirements": {
            requirement.package: _requirement(requirement) for requirement in release.requirements
        },
        "configs": snippets.configs(
            release.repository, release.package, release.app, release.version
        ),
        "meta": _release_meta(release),
        "downloads": None,
        "publisher": _who_minimal(hub, view, release.publisher) if release.publisher else None,
    }


def release_show(hub: Hub, view: View, release: Release, counted: object) -> Object:
    """A release as its own page shows it; `counted` is a number or a series of downloads."""
    return release_published(hub, view, release) | {
        "downloads": counted,
        "security_advisories": [
            advisory(row, release.repository, release.package)
            for row in newest_advisories(view, release.repository, release.package)
            if advisories.affects(row, release)
        ],
    }


def newest_advisories(view: View, repository: str, name: str) -> list[Advisory]:
    """The advisories about a package that are not withdrawn, newest first."""
    found = advisories.of_package(view, repository, name)
    return sorted(found, key=lambda row: (row.published_at, row.id), reverse=True)


def advisory(row: Advisory, repository: str, name: str) -> Object:
    """An advisory; its moments have no fraction (http-api.md §1.6, §3.0)."""

    def whole(moment: datetime | None) -> str | None:
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None

    return {
        "id": row.id,
        "summary": row.summary,
        "aliases": list(row.aliases),
        "published_at": whole(row.published_at),
        "modified_at": whole(row.modified_at),
        "withdrawn_at": whole(row.withdrawn_at),
        "cvss_vector": row.cvss_vector,
        "cvss_score": row.cvss_score,
        "cvss_rating": row.cvss_rating,
        "references": [{"type": one.type, "url": one.url} for one in row.references],
        "affected": advisories.requirements(row, repository, name),
        "api_url": advisories.API_URL + row.id,
        "html_url": advisories.HTML_URL + row.id,
    }


def _release_meta(release: Release) -> Object:
    return {
        "app": release.app,
        "build_tools": list(release.build_tools),
        "elixir": release.elixir,
    }


def _requirement(requirement: Requirement) -> Object:
    return {
        "app": requirement.app,
        "requirement": requirement.requirement,
        "optional": requirement.optional,
    }


def retirement(value: Retirement) -> Object:
    return {"reason": value.reason, "message": value.message}


def key(hub: Hub, view: View, row: Key, actor: Actor, secret: str | None = None) -> Object:
    """A key; its secret only in the answer that made it."""
    value: Object = {
        "name": row.name,
        "authing_key": actor.key is not None and actor.key.lookup == row.lookup,
        "secret": secret,
        "permissions": [
            {"domain": permission.domain, "resource": permission.resource}
            for permission in row.permissions
        ],
        "revoke_at": row.revoke_at,
        "inserted_at": row.created_at,
        "updated_at": row.updated_at,
        "url": f"{hub.api_url}/keys/{_segment(row.name)}",
    }
    use = view.get(KeyUse, row.lookup)
    if use:
        value["last_use"] = {"used_at": use.used_at, "ip": use.ip, "user_agent": use.user_agent}
    return value
