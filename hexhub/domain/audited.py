"""What audit records say of the things they are about (http-api.md §4.8)."""

from __future__ import annotations

from hexhub.domain.audit import Params, number
from hexhub.schema import Key, Organization, Package, Release, User


def package(row: Package) -> Params:
    return {
        "id": number(row.created_at),
        "name": row.name,
        "repository": row.repository,
        "meta": {
            "description": row.meta.description,
            "licenses": list(row.meta.licenses),
            "links": row.meta.links,
            "maintainers": list(row.meta.maintainers),
            "extra": row.meta.extra,
        },
    }


def release(of: Package, row: Release) -> Params:
    """The params of everything that happens to a release."""
    retirement = row.retirement
    return {
        "package": package(of),
        "release": {
            "id": number(row.created_at),
            "version": row.version,
            "has_docs": row.has_docs,
            "package_id": number(of.created_at),
            "checksum": row.outer_checksum.hex(),
            "meta": {
                "app": row.app,
                "build_tools": list(row.build_tools),
                "elixir": row.elixir,
            },
            "retirement": {"reason": retirement.reason, "message": retirement.message}
            if retirement
            else None,
        },
    }


def user(row: User) -> Params:
    return {"id": number(row.created_at), "username": row.username, "handles": row.handles}


def organization(row: Organization) -> Params:
    return {"id": number(row.created_at), "name": row.name, "billing_active": True}


def owner(of: Package, level: str, who: Params) -> Params:
    return {"package": package(of), "level": level, "user": who}


def key(row: Key) -> Params:
    kind, _, name = row.owner.partition(":")
    return {
        "id": number(row.created_at),
        "name": row.name,
        "permissions": [{"domain": p.domain, "resource": p.resource} for p in row.permissions],
        "user": {"username": name} if kind == "user" else None,
        "organization": {"name": name} if kind == "org" else None,
    }


def email(address: str, *, primary: bool = False, public: bool = False) -> Params:
    return {"email": address, "primary": primary, "public": public, "gravatar": False}
