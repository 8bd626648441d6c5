"""Forgets sessions, tokens, codes and links some time after their end.

A key that is exchanged leaves a token behind each half hour: without this the table would only grow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from cluster import ClusterError
from hexhub.domain import expiry

if TYPE_CHECKING:
    from cluster import Node, Store

EVERY_S = 600.0
CHUNK = 500
"""Rows looked at before other work gets its turn, and at most deleted in a transaction."""


async def forget_ended(store: Store, now: datetime) -> int:
    """Forget everything that has ended; how much it was."""
    gone = 0
    for kind in expiry.KINDS:
        after, more = "", True
        while more:
            with store.view() as view:
                rows = expiry.chunk(view, kind, after, CHUNK)
            keys = [expiry.key_of(row) for row in rows if expiry.ended(row, now)]
            if keys:
                gone += await store.transact(expiry.forget, kind, keys, now)
            more = len(rows) == CHUNK
            after = expiry.key_of(rows[-1]) if rows else ""
            await asyncio.sleep(0)
    return gone


async def run(node: Node, now: Callable[[], datetime]) -> None:
    """Forget for ever, on the node that leads: the others would only do the same."""
    while True:
        await asyncio.sleep(EVERY_S)
        if node.status().role != "leader":
            continue
        try:
            await forget_ended(node.store, now())
        except ClusterError as error:
            structlog.get_logger().warning("what has ended is forgotten later", error=str(error))
