"""Who did what, from where: a record for every change, in the transaction that makes it.

The chain. Each record carries the hash of the one before, so that nobody can take one out or
change one unseen. Were the hash taken in the transaction itself, every two changes of a hub would
conflict over the end of the chain. So a record is written without a place in it, and a *sealer*
(`waiting`, `seal`), which runs on every node about once a second, gives the waiting records
their numbers and hashes, a batch in a transaction. The sealer reads only rows that nobody else writes:
it conflicts with no change, only with the sealer of another node, and then one of the two finds
nothing left to do. Until it is sealed, a second or so, a record is protected by the log alone.

Nothing here changes or deletes a record that is sealed, and nothing else writes this table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec

from cluster import Transaction, View
from hexhub.domain.actors import NOBODY, Actor
from hexhub.errors import Malformed
from hexhub.schema import PUBLIC, AuditRecord, Organization, Package

BATCH_MAX = 200
PER_PAGE = 100
USER_AGENT_LENGTH_MAX = 255
PARAMS_SIZE_MAX = 64 * 1024
"""Bytes of a record's params; what is above is cut down to what names the thing."""

GENESIS = bytes(32)
"""What the first record carries as the hash of the one before."""

Params = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a change comes from: who asks, and by what way."""

    actor: Actor = NOBODY
    ip: str = ""
    user_agent: str = ""
    operator: bool = False
    """Whoever holds the node's own socket, its environment, or the node itself."""

    @property
    def by(self) -> str:
        """`user:NAME`, `org:NAME`, `operator` or `nobody`."""
        if self.operator:
            return "operator"
        if self.actor.user is not None:
            return f"user:{self.actor.user.username}"
        return f"org:{self.actor.organization}" if self.actor.organization else "nobody"


OPERATOR = Origin(operator=True)


def record(
    tx: Transaction,
    origin: Origin,
    action: str,
    params: Params,
    now: datetime,
    *,
    user: str | None = None,
    organization: str | None = None,
    package: Package | None = None,
) -> None:
    """Write down a change (http-api.md §4.8 names the actions and their params).

    It is listed for the acting user (`user`, when nobody is signed in yet), for the organization
    that it is about or that acts, and for the package.
    """
    if package is not None and package.repository != PUBLIC:
        organization = package.repository
    moment = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    n = tx.count(AuditRecord, moment, origin.by)
    tx.put(
        AuditRecord(
            moment=moment,
            by=origin.by,
            n=f"{n:06d}",
            action=action,
            params=_bounded(params),
            user=origin.actor.user.username if origin.actor.user else user,
            organization=organization or origin.actor.organization,
            package=subject(package) if package else None,
            key=_credential(origin.actor),
            ip=origin.ip,
            user_agent=origin.user_agent[:USER_AGENT_LENGTH_MAX],
        )
    )


def _credential(actor: Actor) -> str | None:
    """What was shown: the name of a key, or the client that an access token was made for."""
    if actor.key is not None:
        return actor.key.name
    return f"oauth:{actor.token.client}" if actor.token else None


def number(created_at: datetime) -> int:
    """The `id` that params show for a thing: the microsecond in which it was made."""
    return int(created_at.timestamp() * 1_000_000)


def subject(package: Package) -> str:
    """What ties records to a package: stays when the package moves, differs for a later namesake."""
    return f"{package.name}/{number(package.created_at)}"


def _bounded(params: Params) -> Params:
    if len(msgspec.msgpack.encode(params)) <= PARAMS_SIZE_MAX:
        return params
    return {
        name: {field: part for field, part in value.items() if field != "meta"}
        if isinstance(value, dict)
        else value
        for name, value in params.items()
    }


def of_user(view: View, username: str, page: int) -> list[AuditRecord]:
    """What a user did, newest first."""
    return _page(view.find(AuditRecord, "user", username, reverse=True), page)


def of_organization(view: View, organization: Organization, page: int) -> list[AuditRecord]:
    """What was done to an organization or by its keys, newest first."""
    return _page(view.find(AuditRecord, "organization", organization.name, reverse=True), page)


def of_package(view: View, package: Package, page: int) -> list[AuditRecord]:
    """What was done to a package, newest first."""
    return _page(view.find(AuditRecord, "package", subject(package), reverse=True), page)


def _page(found: Iterator[AuditRecord], page: int) -> list[AuditRecord]:
    start = (page - 1) * PER_PAGE
    return list(islice(found, start, start + PER_PAGE))


def waiting(view: View, count: int = BATCH_MAX) -> list[tuple[str, str, str]]:
    """The keys of records that have no place in the chain yet."""
    return [(row.moment, row.by, row.n) for row in islice(view.find(AuditRecord, "waiting"), count)]


def seal(tx: Transaction, keys: list[tuple[str, str, str]]) -> int:
    """Give these records the next places in the chain; how many there were to do."""
    last = next(tx.find(AuditRecord, "chain", reverse=True), None)
    place, previous = (last.place, last.hash) if last else (0, GENESIS)
    sealed = 0
    for key in keys:
        row = tx.get(AuditRecord, *key)
        if row is None or row.place is not None:
            continue
        assert place is not None
        assert previous is not None
        place += 1
        row = msgspec.structs.replace(row, place=place, previous=previous)
        row = msgspec.structs.replace(row, hash=digest(row))
        tx.put(row)
        previous, sealed = row.hash, sealed + 1
    return sealed


def chain(view: View, *, after: int = 0, since: datetime | None = None) -> Iterator[AuditRecord]:
    """The sealed records in order, behind the place `after`.

    With `since` from the first one that is not older; what follows has no hole, so that its hashes
    can be checked.
    """
    moment = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if since else ""
    began, place = after > 0, after
    while row := next(view.find(AuditRecord, "chain", f"{place + 1:012d}"), None):
        began = began or row.moment >= moment
        if began:
            yield row
        place += 1


def exported(row: AuditRecord) -> Params:
    """A record as a line of an export: everything that its hash covers, and the hash."""
    return _covered(row) | {"hash": row.hash.hex() if row.hash else None}


def digest(row: AuditRecord) -> bytes:
    """SHA-256 of the record as JSON with sorted names and no blanks, its `hash` left out."""
    return hashlib.sha256(msgspec.json.encode(_covered(row), order="sorted")).digest()


def _covered(row: AuditRecord) -> Params:
    return {
        "place": row.place,
        "previous": row.previous.hex() if row.previous else None,
        "moment": row.moment,
        "by": row.by,
        "n": row.n,
        "action": row.action,
        "params": row.params,
        "user": row.user,
        "organization": row.organization,
        "package": row.package,
        "key": row.key,
        "ip": row.ip,
        "user_agent": row.user_agent,
    }


def verify(lines: Iterator[Mapping[str, Any]]) -> int:
    """Check an export: how many records the chain has. Raises Malformed at the first bad one."""
    count, previous = 0, None
    for line in lines:
        covered = {name: value for name, value in line.items() if name != "hash"}
        found = hashlib.sha256(msgspec.json.encode(covered, order="sorted")).hexdigest()
        if found != line.get("hash"):
            raise Malformed(f"record {line.get('place')} was changed")
        if previous is not None and line.get("previous") != previous:
            raise Malformed(f"something is missing before record {line.get('place')}")
        count, previous = count + 1, found
    return count
