"""Access tokens: made, refreshed, exchanged for a key, revoked (http-api.md §2.4, §3.13)."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from cluster import Transaction, View
from hexhub.domain import audit, scopes, sessions
from hexhub.domain.actors import Actor
from hexhub.domain.audit import Origin, Params
from hexhub.errors import Malformed, NotFound, OauthRefused
from hexhub.formats.access_token import Claims, TokenKey
from hexhub.schema import Key, OauthClient, Organization, Session, Token, User

ACCESS_FOR = timedelta(seconds=1800)
"""Above 300 s: with less left, clients refresh before every command."""
SHOWN_MAX = 100
"""Tokens of keys on one page: a busy CI makes many, and each is short-lived."""


@dataclass(frozen=True, slots=True)
class Mint:
    """What new tokens are made with: the key that signs, and two fresh ids."""

    key: TokenKey
    access_id: str
    refresh_id: str


@dataclass(frozen=True, slots=True)
class Issued:
    """Tokens as their holder gets them; `row` is what is kept."""

    access: str
    refresh: str | None
    row: Token


def issue(
    tx: Transaction,
    mint: Mint,
    client: OauthClient,
    session: Session,
    granted: tuple[str, ...],
    now: datetime,
) -> Issued:
    """A pair of tokens for a session. The refresh token ends with the session, however often used."""
    found = scopes.expanded(tx, session.owner, granted)
    until = now + ACCESS_FOR
    refresh = mint.key.sign(Claims(session.owner, mint.refresh_id, found, session.expires_at), now)
    row = Token(
        jti=mint.access_id,
        owner=session.owner,
        client=client.client_id,
        granted=granted,
        scopes=found,
        session=session.id,
        refresh_jti=mint.refresh_id,
        refresh_hash=hash_of(refresh),
        created_at=now,
        expires_at=until,
        refresh_until=session.expires_at,
    )
    tx.put(row)
    access = mint.key.sign(Claims(session.owner, mint.access_id, found, until), now)
    return Issued(access, refresh, row)


def refresh(
    tx: Transaction, mint: Mint, client: OauthClient, presented: str, now: datetime
) -> Issued:
    """A new pair for an old one, which is dead from then on. Raises OauthRefused."""
    try:
        claims = mint.key.read(presented, None)
    except Malformed:
        raise OauthRefused("invalid_grant", "Invalid refresh token") from None
    row = next(tx.find(Token, "refresh", claims.jti), None)
    if row is None or row.client != client.client_id or row.refresh_until is None:
        raise OauthRefused("invalid_grant", "Invalid refresh token")
    session = tx.get(Session, row.session) if row.session else None
    if row.revoked_at is not None or session is None:
        raise OauthRefused("invalid_grant", "Refresh token has been revoked")
    if row.refresh_until <= now:
        raise OauthRefused("invalid_grant", "Refresh token has expired")
    revoke(tx, row, now)
    return issue(tx, mint, client, session, row.granted, now)


def exchange(
    tx: Transaction,
    mint: Mint,
    client: OauthClient,
    lookup: str,
    wanted: tuple[str, ...],
    now: datetime,
) -> Issued:
    """A short-lived token for an API key (client credentials). Makes no session.

    Counted as sessions, six parallel jobs of a CI would end each other's (§2.4).
    """
    key = tx.get(Key, lookup)
    if key is None or key.revoked(now):
        raise OauthRefused("invalid_client", "Invalid API key")
    found = scopes.of_key(tx, key, wanted)
    if not scopes.within(tx, key.owner, found):
        raise OauthRefused("invalid_scope", "Requested scopes exceed API key permissions")
    row = Token(
        jti=mint.access_id,
        owner=key.owner,
        client=client.client_id,
        granted=found,
        scopes=found,
        key=key.lookup,
        created_at=now,
        expires_at=now + ACCESS_FOR,
    )
    tx.put(row)
    access = mint.key.sign(Claims(key.owner, mint.access_id, found, row.expires_at), now)
    return Issued(access, None, row)


def actor(view: View, claims: Claims, now: datetime) -> Actor | None:
    """Whom an access token acts for; None for one that no longer counts."""
    row = view.get(Token, claims.jti)
    if row is None or row.owner != claims.subject or row.revoked_at is not None:
        return None
    if row.expires_at <= now or not _source_lives(view, row, now):
        return None
    kind, _, name = row.owner.partition(":")
    if kind == "org":
        return Actor(organization=name, token=row) if view.get(Organization, name) else None
    user = view.get(User, name)
    return Actor(user=user, token=row) if user and not user.disabled else None


def _source_lives(view: View, row: Token, now: datetime) -> bool:
    if row.key is not None:
        key = view.get(Key, row.key)
        return key is not None and not key.revoked(now)
    session = view.get(Session, row.session) if row.session else None
    return session is not None and session.expires_at > now


def revoke(tx: Transaction, row: Token, now: datetime) -> None:
    """End a pair of tokens. The row stays until the refresh token would have expired."""
    if row.revoked_at is None:
        tx.put(msgspec.structs.replace(row, revoked_at=now))


def live_of_keys(view: View, owner: str, now: datetime) -> list[tuple[Token, Key]]:
    """The last made tokens that count, of `user:NAME`, and the keys they were exchanged for."""
    found = []
    for row in view.find(Token, "owner", owner):
        if row.key is None or row.revoked_at is not None or row.expires_at <= now:
            continue
        key = view.get(Key, row.key)
        if key is not None and not key.revoked(now):
            found.append((row, key))
    return sorted(found, key=lambda pair: pair[0].created_at, reverse=True)[:SHOWN_MAX]


def revoke_of_key(tx: Transaction, origin: Origin, owner: str, jti: str, now: datetime) -> None:
    """End one token that a key was exchanged for; the key stays. Raises NotFound."""
    row = tx.get(Token, jti)
    key = tx.get(Key, row.key) if row is not None and row.key is not None else None
    if row is None or key is None or row.owner != owner or row.revoked_at is not None:
        raise NotFound
    revoke(tx, row, now)
    params: Params = {"id": row.jti, "key": key.name, "client_id": row.client}
    audit.record(tx, origin, "token.revoke", params, now, user=owner.partition(":")[2])


def revoke_presented(
    tx: Transaction, key: TokenKey, presented: str, client_id: str, now: datetime
) -> None:
    """End the pair that a token belongs to, if it is this client's; otherwise nothing."""
    try:
        claims = key.read(presented, None)
    except Malformed:
        return
    row = tx.get(Token, claims.jti) or next(tx.find(Token, "refresh", claims.jti), None)
    if row is not None and hmac.compare_digest(row.client, client_id.lower()):
        revoke(tx, row, now)


def revoke_by_hash(
    tx: Transaction, origin: Origin, token_hash: str, now: datetime
) -> Session | None:
    """End the session of the refresh token with this SHA-256 (hex, any case), if there is one."""
    row = next(tx.find(Token, "refresh_hash", token_hash.lower()), None)
    session = tx.get(Session, row.session) if row is not None and row.session else None
    if session is not None:
        sessions.revoke(tx, origin, session.owner, session.id, now)
    return session


def hash_of(token: str) -> str:
    """How a refresh token is known to `revoke_by_hash`."""
    return hashlib.sha256(token.encode()).hexdigest()
