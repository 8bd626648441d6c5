"""Networks that the operator treats apart: blocked ones, and ones without a rate limit."""

from __future__ import annotations

import ipaddress
from datetime import datetime

from cluster import Transaction, View
from hexhub.domain import audit
from hexhub.domain.audit import Origin
from hexhub.errors import Invalid, NotFound
from hexhub.schema import KnownNetwork

BLOCKED, UNLIMITED = "blocked", "unlimited"
REASON_LENGTH_MAX = 500


def put(
    tx: Transaction, origin: Origin, address: object, rule: object, reason: object, now: datetime
) -> KnownNetwork:
    """Block an address or a network, or free it of limits. Raises Invalid."""
    if rule not in (BLOCKED, UNLIMITED):
        raise Invalid({"rule": "is invalid"})
    row = KnownNetwork(
        network=_canonical(address),
        rule=str(rule),
        reason=str(reason or "")[:REASON_LENGTH_MAX],
        created_at=now,
    )
    tx.put(row)
    audit.record(tx, origin, f"network.{rule}", _params(row), now)
    return row


def forget(tx: Transaction, origin: Origin, address: object, now: datetime) -> None:
    """Treat a network as any other again. Raises NotFound."""
    row = tx.get(KnownNetwork, _canonical(address))
    if row is None:
        raise NotFound
    tx.delete(row)
    audit.record(tx, origin, "network.forget", _params(row), now)


def known(view: View) -> list[KnownNetwork]:
    """All of them, by address."""
    return list(view.scan(KnownNetwork))


def _canonical(address: object) -> str:
    try:
        return str(ipaddress.ip_network(str(address), strict=False))
    except ValueError:
        raise Invalid({"network": "must be an address or a network such as 192.0.2.0/24"}) from None


def _params(row: KnownNetwork) -> audit.Params:
    return {"network": row.network, "rule": row.rule, "reason": row.reason}
