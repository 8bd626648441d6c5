"""Gives audit records their places in the hash chain, a second after they were written.

Why this is not done by the transactions that write them stands in domain/audit.py.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from cluster import ClusterError
from hexhub.domain import audit

if TYPE_CHECKING:
    from cluster import Node, Store

SEAL_EVERY_S = 1.0


async def seal_waiting(store: Store) -> int:
    """Seal every record that waits; how many were sealed here."""
    sealed = 0
    while True:
        with store.view() as view:
            keys = audit.waiting(view)
        if not keys:
            return sealed
        sealed += await store.transact(audit.seal, keys)


async def run(node: Node) -> None:
    """Seal for ever, on the node that leads: others would only get in its way."""
    while True:
        await asyncio.sleep(SEAL_EVERY_S)
        if node.status().role != "leader":
            continue
        try:
            await seal_waiting(node.store)
        except ClusterError as error:
            structlog.get_logger().warning("audit records are sealed later", error=str(error))
