"""Authorization codes with PKCE, for web applications (RFC 7636, http-api.md §3.13)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from datetime import datetime, timedelta

import msgspec

from cluster import Transaction
from hexhub.domain import sessions, tokens
from hexhub.domain.audit import Origin
from hexhub.domain.tokens import Issued, Mint
from hexhub.errors import OauthRefused
from hexhub.schema import AuthorizationCode, OauthClient, Session, User

GOOD_FOR = timedelta(seconds=600)
CHALLENGE = re.compile(r"[A-Za-z0-9_\-]{43}")
VERIFIER = re.compile(r"[A-Za-z0-9_.~\-]{43,128}")


def create(
    tx: Transaction,
    code_hash: str,
    client: OauthClient,
    username: str,
    granted: tuple[str, ...],
    redirect_uri: str,
    challenge: str,
    now: datetime,
) -> AuthorizationCode:
    """Remember what a person has agreed to, until the application fetches its tokens."""
    row = AuthorizationCode(
        code_hash=code_hash,
        client=client.client_id,
        owner=f"user:{username}",
        granted=granted,
        redirect_uri=redirect_uri,
        challenge=challenge,
        created_at=now,
        expires_at=now + GOOD_FOR,
    )
    tx.put(row)
    return row


def redeem(
    tx: Transaction,
    origin: Origin,
    mint: Mint,
    client: OauthClient,
    code_hash: str,
    redirect_uri: object,
    verifier: object,
    session: Session,
    now: datetime,
) -> Issued:
    """Tokens for a code, once. `session` is the one to make, its owner filled in here.

    Raises OauthRefused.
    """
    row = tx.get(AuthorizationCode, code_hash)
    if row is None or row.client != client.client_id:
        raise OauthRefused("invalid_grant", "Invalid authorization code")
    if row.used or row.expires_at <= now:
        raise OauthRefused("invalid_grant", "Authorization code expired or already used")
    if redirect_uri != row.redirect_uri:
        raise OauthRefused("invalid_grant", "Redirect URI mismatch")
    if not isinstance(verifier, str) or not verifier:
        raise OauthRefused("invalid_grant", "Missing required parameter: code_verifier")
    if not _proves(verifier, row.challenge):
        raise OauthRefused("invalid_grant", "Invalid code verifier")
    user = tx.get(User, row.owner.partition(":")[2])
    if user is None or user.disabled:
        raise OauthRefused("invalid_grant", "Invalid authorization code")
    tx.put(msgspec.structs.replace(row, used=True))
    session = msgspec.structs.replace(session, owner=row.owner)
    sessions.create(tx, origin, session, now)
    return tokens.issue(tx, mint, client, session, row.granted, now)


def _proves(verifier: str, challenge: str) -> bool:
    if not VERIFIER.fullmatch(verifier):
        return False
    digest = hashlib.sha256(verifier.encode()).digest()
    found = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return hmac.compare_digest(found, challenge)
