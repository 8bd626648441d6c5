"""Mails that wait to be sent: queued in the transaction that causes them (http-api.md §4.9).

A row is claimed by the node that sends it, so that a cluster sends it once; a node that dies with
a claim loses it after a minute. Rows stay for a while after they are sent, without their values,
which may hold the secret of a link.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

import msgspec

from cluster import Transaction, View
from hexhub.domain import audit
from hexhub.domain.audit import Origin
from hexhub.errors import NotFound
from hexhub.schema import Mail, Member, Organization, User

CLAIM_FOR = timedelta(minutes=1)
FIRST_RETRY = timedelta(seconds=30)
LAST_RETRY = timedelta(hours=4)
ATTEMPTS_MAX = 20
"""With the pauses above: about three days."""
KEPT_FOR = timedelta(days=30)
ERROR_LENGTH_MAX = 500
BATCH_MAX = 200

OPTIONAL = frozenset({"release_published", "owner_added", "owner_removed", "member_added"})
"""Mails that a person may switch off."""

MailKey = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a mail was not taken; one that is `final` is not tried again."""

    text: str
    final: bool = False


def queue(
    tx: Transaction, to: str, template: str, values: Mapping[str, str], now: datetime
) -> None:
    """Have a mail sent to this address, once this transaction is committed."""
    moment = _moment(now)
    tx.put(
        Mail(
            moment=moment,
            to=to,
            n=f"{tx.count(Mail, moment, to):06d}",
            template=template,
            values=dict(values),
            due=moment,
        )
    )


def queue_for_users(
    tx: Transaction,
    usernames: Iterable[str],
    template: str,
    values: Mapping[str, str],
    now: datetime,
) -> None:
    """To people and organizations by name, each address once.

    An organization is its administrators, or all its members when it has none. Who has no address
    or has switched this mail off gets none.
    """
    addresses: dict[str, None] = {}
    for username in usernames:
        for user in _people(tx, username):
            if user.primary is None or user.disabled:
                continue
            if template in OPTIONAL and template in user.muted:
                continue
            addresses[user.primary.address] = None
    for address in addresses:
        queue(tx, address, template, values, now)


def queue_for_owner(
    tx: Transaction, owner: str, template: str, values: Mapping[str, str], now: datetime
) -> None:
    """To the owner of a key: `user:NAME` or `org:NAME`."""
    queue_for_users(tx, [owner.partition(":")[2]], template, values, now)


def _people(view: View, username: str) -> list[User]:
    if view.get(Organization, username) is None:
        user = view.get(User, username)
        return [user] if user else []
    members = list(view.scan(Member, username))
    chosen = [member for member in members if member.role == "admin"] or members
    found = (view.get(User, member.username) for member in chosen)
    return [user for user in found if user is not None]


def due(view: View, now: datetime, count: int) -> list[MailKey]:
    """The keys of mails that should be sent now."""
    found = islice(view.find(Mail, "due"), count)
    moment = _moment(now)
    return [(mail.moment, mail.to, mail.n) for mail in found if (mail.due or "") <= moment]


def claim(tx: Transaction, key: MailKey, now: datetime) -> Mail | None:
    """Take a mail to send it; None when it is no longer due."""
    mail = tx.get(Mail, *key)
    if mail is None or mail.due is None or mail.due > _moment(now):
        return None
    claimed = msgspec.structs.replace(mail, due=_moment(now + CLAIM_FOR))
    tx.put(claimed)
    return claimed


def settle(tx: Transaction, key: MailKey, failure: Failure | None, now: datetime) -> None:
    """Note that a mail was sent, or why not and when to try again."""
    mail = tx.get(Mail, *key)
    if mail is None or mail.due is None:
        return
    attempts = mail.attempts + 1
    if failure is None:
        done = msgspec.structs.replace(
            mail, due=None, attempts=attempts, sent_at=now, values={}, error=None
        )
    else:
        last = failure.final or attempts >= ATTEMPTS_MAX
        retry = min(FIRST_RETRY * 2 ** min(attempts - 1, 20), LAST_RETRY)
        done = msgspec.structs.replace(
            mail,
            due=None if last else _moment(now + retry),
            attempts=attempts,
            error=failure.text[:ERROR_LENGTH_MAX],
        )
    tx.put(done)


def try_again(tx: Transaction, origin: Origin, key: MailKey, now: datetime) -> None:
    """Have a mail sent now that waits or was given up. Raises NotFound for one that was sent."""
    mail = tx.get(Mail, *key)
    if mail is None or mail.sent_at is not None:
        raise NotFound("This mail was sent already, or is forgotten.")
    attempts = 0 if mail.due is None else mail.attempts
    tx.put(msgspec.structs.replace(mail, due=_moment(now), attempts=attempts))
    audit.record(tx, origin, "mail.retry", {"to": mail.to, "template": mail.template}, now)


def forget_old(tx: Transaction, now: datetime) -> int:
    """Delete what is older than a month, a batch at a time; how many there were."""
    limit = _moment(now - KEPT_FOR)
    old = [mail for mail in islice(tx.scan(Mail), BATCH_MAX) if mail.moment < limit]
    for mail in old:
        tx.delete(mail)
    return len(old)


def newest(view: View, count: int) -> list[Mail]:
    """The latest mails, for the operator to read."""
    return list(islice(view.scan(Mail, reverse=True), count))


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
