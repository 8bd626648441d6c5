"""What a person's keys and tokens lose when a membership ends (design §4.3)."""

from __future__ import annotations

from datetime import datetime

import msgspec

from cluster import Transaction
from hexhub.domain import audit, audited
from hexhub.domain.audit import Origin
from hexhub.schema import Key, Permission, Token


def forget_organization(
    tx: Transaction, origin: Origin, username: str, organization: str, now: datetime
) -> None:
    """Take an organization out of every credential of a user, so that none has it back later.

    Each use asks for the membership anyway; but whoever becomes a member again must not find that
    a key from before, which may be anywhere by now, opens the repository. A key that was for
    nothing else is revoked.
    """
    owner = f"user:{username}"
    for key in list(tx.find(Key, "owner", owner)):
        left = tuple(p for p in key.permissions if not _about(p, organization))
        if key.revoked(now) or len(left) == len(key.permissions):
            continue
        if left:
            tx.put(msgspec.structs.replace(key, permissions=left, updated_at=now))
        else:
            tx.put(msgspec.structs.replace(key, revoke_at=now, updated_at=now))
            audit.record(tx, origin, "key.remove", audited.key(key), now)
    gone = f"repository:{organization}"
    for token in list(tx.find(Token, "owner", owner)):
        if gone in token.scopes or gone in token.granted:
            tx.put(
                msgspec.structs.replace(
                    token,
                    scopes=tuple(scope for scope in token.scopes if scope != gone),
                    granted=tuple(scope for scope in token.granted if scope != gone),
                )
            )


def _about(permission: Permission, organization: str) -> bool:
    resource = permission.resource or ""
    if permission.domain == "package":
        return resource.startswith(f"{organization}/")
    return permission.domain in ("repository", "docs") and resource == organization
