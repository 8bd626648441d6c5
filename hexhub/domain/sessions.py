"""Sessions: sign-ins of browsers and of OAuth clients, at most five of a user (http-api.md §2.4)."""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta

import msgspec

from cluster import Transaction, View
from hexhub.domain import audit
from hexhub.domain.audit import Origin, Params
from hexhub.errors import NotFound
from hexhub.schema import AuthorizationCode, DeviceCode, Session, SessionUse, Token, User

GOOD_FOR = timedelta(days=30)
LIVE_MAX = 5
CONFIRMED_FOR = timedelta(hours=1)
"""How long a password counts as given lately, for what asks for that."""

BROWSER, OAUTH = "browser", "oauth"


def live(view: View, owner: str, now: datetime) -> list[Session]:
    """The sessions of `user:NAME`, the last used first."""
    found = [row for row in view.find(Session, "owner", owner) if row.expires_at > now]
    return sorted(found, key=lambda row: last_used(view, row), reverse=True)


def last_used(view: View, session: Session) -> datetime:
    """When a session was last used; at first, when it was made."""
    use = view.get(SessionUse, session.id)
    return use.used_at if use else session.created_at


def create(tx: Transaction, origin: Origin, session: Session, now: datetime) -> Session:
    """Keep a new session; one more than five ends the least recently used."""
    for spare in live(tx, session.owner, now)[LIVE_MAX - 1 :]:
        end(tx, spare, now)
    tx.put(session)
    _audit(tx, origin, "session.create", session, now)
    return session


def of_browser(owner: str, secret_hash: str, ip: str, user_agent: str, now: datetime) -> Session:
    """A session known by the keyed hash (64 hex digits) of a cookie."""
    return Session(
        id=secret_hash[:32],
        verifier=secret_hash[32:],
        owner=owner,
        kind=BROWSER,
        ip=ip,
        user_agent=user_agent[:255],
        created_at=now,
        confirmed_at=now,
        expires_at=now + GOOD_FOR,
    )


def of_client(
    owner: str, id: str, client: str, name: str, ip: str, user_agent: str, now: datetime
) -> Session:
    """A session of an OAuth client that was let in from this address."""
    return Session(
        id=id,
        owner=owner,
        kind=OAUTH,
        name=name or None,
        client=client,
        ip=ip,
        user_agent=user_agent[:255],
        created_at=now,
        confirmed_at=now,
        expires_at=now + GOOD_FOR,
    )


def by_cookie(view: View, secret_hash: str, now: datetime) -> tuple[Session, User] | None:
    """The live session of a browser's cookie, and whose it is."""
    row = view.get(Session, secret_hash[:32])
    if row is None or row.kind != BROWSER or row.expires_at <= now:
        return None
    if not hmac.compare_digest(row.verifier, secret_hash[32:]):
        return None
    user = view.get(User, row.owner.partition(":")[2])
    return (row, user) if user is not None and not user.disabled else None


def confirm(tx: Transaction, session_id: str, now: datetime) -> None:
    """Note that the password was given again."""
    row = tx.get(Session, session_id)
    if row is not None:
        tx.put(msgspec.structs.replace(row, confirmed_at=now))


def confirmed(session: Session, now: datetime) -> bool:
    """Whether the password was given lately."""
    return now - session.confirmed_at < CONFIRMED_FOR


def end(tx: Transaction, session: Session, now: datetime) -> None:
    """End a session with all of its tokens, and whatever device code it came from."""
    for token in list(tx.find(Token, "session", session.id)):
        if token.revoked_at is None:
            tx.put(msgspec.structs.replace(token, revoked_at=now))
    for code in list(tx.find(DeviceCode, "owner", session.owner)):
        if code.session == session.id:
            tx.delete(code)
    use = tx.get(SessionUse, session.id)
    if use is not None:
        tx.delete(use)
    tx.delete(session)


def revoke(tx: Transaction, origin: Origin, owner: str, session_id: str, now: datetime) -> None:
    """End one session of an owner. Raises NotFound."""
    session = tx.get(Session, session_id)
    if session is None or session.owner != owner:
        raise NotFound
    end(tx, session, now)
    _audit(tx, origin, "session.revoke", session, now)


def end_all(tx: Transaction, owner: str, now: datetime, *, but: str | None = None) -> None:
    """End every session and token of an owner, pending codes included; `but` is one to keep."""
    for session in list(tx.find(Session, "owner", owner)):
        if session.id != but:
            end(tx, session, now)
    for token in list(tx.find(Token, "owner", owner)):
        if token.revoked_at is None and (but is None or token.session != but):
            tx.put(msgspec.structs.replace(token, revoked_at=now))
    for code in list(tx.find(DeviceCode, "owner", owner)):
        tx.delete(code)
    for grant in list(tx.find(AuthorizationCode, "owner", owner)):
        tx.delete(grant)


def record_uses(tx: Transaction, uses: list[SessionUse]) -> None:
    """Keep the last use of each session that still exists."""
    for use in uses:
        if tx.get(Session, use.session) is not None:
            tx.put(use)


def _audit(tx: Transaction, origin: Origin, action: str, session: Session, now: datetime) -> None:
    params: Params = {
        "id": session.id,
        "type": session.kind,
        "name": session.name,
        "client_id": session.client,
        "client": session.client,
    }
    user = session.owner.partition(":")[2]
    audit.record(tx, origin, action, params, now, user=user)
