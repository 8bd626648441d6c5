"""What has expired and can be forgotten: sessions, tokens, codes and links."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import TypeAlias

from cluster import Transaction, View
from hexhub.domain import sessions
from hexhub.schema import AuthorizationCode, DeviceCode, Link, Session, Token

KEPT_FOR = timedelta(hours=1)
"""How long after its end a thing is still known, so that its holder hears that it has expired."""

Passing: TypeAlias = Link | Session | Token | DeviceCode | AuthorizationCode
KINDS: tuple[type[Passing], ...] = (Link, Session, Token, DeviceCode, AuthorizationCode)


def key_of(row: Passing) -> str:
    """The one part of the row's key."""
    match row:
        case Session():
            return row.id
        case Token():
            return row.jti
        case Link():
            return row.token_hash
    return row.code_hash


def ended(row: Passing, now: datetime) -> bool:
    """Whether nobody needs this row any more."""
    end = row.expires_at
    if isinstance(row, Token) and row.refresh_until is not None:
        end = max(end, row.refresh_until)
    return end + KEPT_FOR <= now


def chunk(view: View, kind: type[Passing], after: str, count: int) -> list[Passing]:
    """The next rows of a table behind a key, a bounded number of them."""
    return list(islice(view.scan(kind, after=(after,) if after else None), count))


def forget(tx: Transaction, kind: type[Passing], keys: list[str], now: datetime) -> int:
    """Delete those of these rows that have ended; how many they were."""
    gone = 0
    for key in keys:
        row = tx.get(kind, key)
        if row is None or not ended(row, now):
            continue
        if isinstance(row, Session):
            sessions.end(tx, row, now)
        else:
            tx.delete(row)
        gone += 1
    return gone
