"""Links by mail: to verify an address, to set a new password (http-api.md §3.2, §4.9)."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import urlencode

from cluster import Transaction, View
from hexhub.attempts import MAIL_OF_USER, RESET_OF_IP
from hexhub.domain import emails, mails, users
from hexhub.domain.audit import Origin
from hexhub.errors import NotFound, TooManyRequests
from hexhub.http.call import Call
from hexhub.schema import Link, User

GOOD_FOR = timedelta(hours=24)


async def verify_address(call: Call, username: str, address: str) -> None:
    """Send an address the link that verifies it. Raises TooManyRequests."""
    hub = call.hub
    if hub.attempts.exhausted(MAIL_OF_USER, username, call.now):
        raise TooManyRequests("Too many mails. Please try again later.")
    hub.attempts.failed(MAIL_OF_USER, username, call.now)
    token = hub.new_token()
    query = urlencode({"username": username, "email": address, "key": token})
    await hub.store.transact(
        emails.ask_to_verify,
        call.origin,
        username,
        address,
        hub.secret_hash(token),
        f"{hub.url}/email/verify?{query}",
        call.now,
    )


async def reset_password(call: Call, who: str) -> None:
    """Send a link to the primary address of a user, by name or verified address.

    An unknown name costs a write too, so that the time of the answer tells nothing.
    Raises TooManyRequests for an address that asks too often.
    """
    hub = call.hub
    if hub.attempts.exhausted(RESET_OF_IP, call.ip, call.now):
        raise TooManyRequests("Too many password resets. Please try again later.")
    hub.attempts.failed(RESET_OF_IP, call.ip, call.now)
    token = hub.new_token()
    with hub.store.view() as view:
        user = _find(view, who)
    if user is not None and hub.attempts.exhausted(MAIL_OF_USER, user.username, call.now):
        user = None
    if user is not None:
        hub.attempts.failed(MAIL_OF_USER, user.username, call.now)
    username = user.username if user else ""
    link = f"{hub.url}/password/new?{urlencode({'username': username, 'key': token})}"
    await hub.store.transact(_queue, call.origin, username, hub.secret_hash(token), link, call.now)


def _find(view: View, who: str) -> User | None:
    if "\0" in who or not who:
        return None
    try:
        user = users.find_by_address(view, who) if "@" in who else users.find(view, who)
    except NotFound:
        return None
    return user if user is not None and not user.disabled and user.primary is not None else None


def _queue(
    tx: Transaction, origin: Origin, username: str, token_hash: str, link: str, now: datetime
) -> None:
    if not username:
        tx.put(Link(token_hash=token_hash, purpose="none", username="", expires_at=now))
        return
    users.add_link(tx, origin, token_hash, "password", username, now + GOOD_FOR, now)
    values = {"username": username, "link": link}
    mails.queue_for_users(tx, [username], "password_reset", values, now)
