"""Device authorization: a client shows a code, a person lets it in (RFC 8628, http-api.md §3.13)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from cluster import Transaction, View
from hexhub.domain import scopes, sessions, tokens
from hexhub.domain.audit import Origin
from hexhub.domain.tokens import Issued, Mint
from hexhub.errors import Invalid, NotFound, OauthRefused
from hexhub.schema import DeviceCode, OauthClient, Session, Token

GOOD_FOR = timedelta(seconds=600)
INTERVAL_S = 5
USER_CODE_ALPHABET = "23456789BCDFGHJKLMNPQRSTVWXYZ"
USER_CODE_LENGTH = 8
NAME_LENGTH_MAX = 128

PENDING, APPROVED, DENIED = "pending", "approved", "denied"
TWO_FACTOR_NEEDED = "turn on two-factor authentication before you let a client write"


@dataclass(frozen=True, slots=True)
class Codes:
    """Fresh codes for one authorization: the hash of the device code, what it is derived from."""

    code_hash: str
    nonce: str
    user_code: str


def request(
    tx: Transaction,
    client: OauthClient,
    wanted: tuple[str, ...],
    name: object,
    codes: Codes,
    now: datetime,
) -> DeviceCode:
    """Begin: the client waits under these codes. A user code in use is refused."""
    if any(row.expires_at > now for row in tx.find(DeviceCode, "user_code", codes.user_code)):
        raise OauthRefused("server_error", "Try again")
    row = DeviceCode(
        code_hash=codes.code_hash,
        nonce=codes.nonce,
        user_code=codes.user_code,
        client=client.client_id,
        name=_shown(name),
        scopes=scopes.spelled_out(wanted),
        created_at=now,
        expires_at=now + GOOD_FOR,
    )
    tx.put(row)
    return row


def _shown(name: object) -> str:
    """The client's name for itself, as it may be shown and put into mails: one printable line."""
    if not isinstance(name, str):
        return ""
    return "".join(char for char in name if char.isprintable())[:NAME_LENGTH_MAX].strip()


def normal(user_code: object) -> str:
    """A user code as a person may have typed it: dashes, blanks and case do not matter."""
    text = user_code if isinstance(user_code, str) else ""
    return "".join(char for char in text.upper() if char in USER_CODE_ALPHABET)[:32]


def waiting(view: View, user_code: object, now: datetime) -> DeviceCode:
    """The pending authorization of a user code. Raises NotFound."""
    for row in view.find(DeviceCode, "user_code", normal(user_code)):
        if row.state == PENDING and row.expires_at > now:
            return row
    raise NotFound("This code is not known or has expired")


def approve(
    tx: Transaction,
    origin: Origin,
    user_code: object,
    username: str,
    chosen: tuple[str, ...],
    session: Session,
    now: datetime,
    *,
    two_factor: bool,
) -> DeviceCode:
    """Let the client in with the chosen ones of the scopes that it asked for.

    Raises NotFound, and Invalid (field `scopes`) for none, others, or writing without a second
    factor on the account.
    """
    row = waiting(tx, user_code, now)
    granted = tuple(scope for scope in row.scopes if scope in chosen)
    if not granted or len(granted) != len(set(chosen)):
        raise Invalid({"scopes": "choose at least one of what the client asks for"})
    if scopes.writes(granted) and not two_factor:
        raise Invalid({"scopes": TWO_FACTOR_NEEDED})
    sessions.create(tx, origin, session, now)
    return _change(
        tx, row, state=APPROVED, owner=f"user:{username}", session=session.id, granted=granted
    )


def deny(tx: Transaction, user_code: object, username: str, now: datetime) -> DeviceCode:
    """Keep the client out. Raises NotFound."""
    return _change(tx, waiting(tx, user_code, now), state=DENIED, owner=f"user:{username}")


def poll(
    tx: Transaction, mint: Mint, client: OauthClient, code_hash: str | None, now: datetime
) -> Issued:
    """Tokens, once the person has agreed; again on a later poll, which ends the former pair.

    Raises OauthRefused, also while there is nothing to give yet.
    """
    row = tx.get(DeviceCode, code_hash) if code_hash else None
    if row is None:
        raise OauthRefused("invalid_grant", "Invalid device code")
    if row.client != client.client_id:
        raise OauthRefused("invalid_client", "Invalid client")
    if row.state == DENIED:
        raise OauthRefused("access_denied", "Authorization denied by user")
    if row.expires_at <= now:
        raise OauthRefused("expired_token", "Device code has expired")
    session = tx.get(Session, row.session) if row.session else None
    if row.state == PENDING:
        raise OauthRefused("authorization_pending", "Authorization pending")
    if session is None:
        raise OauthRefused("invalid_grant", "Invalid device code")
    former = tx.get(Token, row.token) if row.token else None
    if former is not None:
        tokens.revoke(tx, former, now)
    issued = tokens.issue(tx, mint, client, session, row.granted, now)
    _change(tx, row, token=issued.row.jti)
    return issued


def newest_waiting(view: View, now: datetime) -> DeviceCode | None:
    """The newest pending authorization (http-api.md §9)."""
    pending = [
        row for row in view.scan(DeviceCode) if row.state == PENDING and row.expires_at > now
    ]
    return max(pending, key=lambda row: row.created_at, default=None)


def _change(tx: Transaction, row: DeviceCode, **fields: object) -> DeviceCode:
    changed = msgspec.structs.replace(row, **fields)
    tx.put(changed)
    return changed
