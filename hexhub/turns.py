"""Readings of whole tables in short turns of the event loop, so that requests are answered meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, TypeVar

from cluster import Change, Record
from hexhub.domain import objects

if TYPE_CHECKING:
    from cluster import Store

R = TypeVar("R", bound=Record)

TURN_S = 0.002
"""How long the loop is held at a time."""
PAUSE_S = 0.03
"""Between two turns: nobody waits for these readings, and several may go on at once."""
SETTLE_S = 1.0
"""Far longer than it takes from a row that is seen to a change that is told."""


async def rows(
    store: Store, record: type[R], *, pause_s: float | None = None
) -> AsyncIterator[list[R]]:
    """Every row of a table, in key order. What changes meanwhile may be seen or not.

    `pause_s` between two turns: PAUSE_S, or less where somebody waits.
    """
    fields = store.schema.of(record).key
    after: tuple[str, ...] | None = None
    while True:
        found: list[R] = []
        until = time.monotonic() + TURN_S
        with store.view() as view:
            for row in view.scan(record, after=after):
                found.append(row)
                if time.monotonic() >= until:
                    break
        if not found:
            return
        after = tuple(getattr(found[-1], field) for field in fields)
        yield found
        await asyncio.sleep(PAUSE_S if pause_s is None else pause_s)


async def pointed_to(store: Store, *, settle_s: float = SETTLE_S) -> set[bytes]:
    """The checksums of all objects that the tables point to when this returns, and perhaps more.

    A pointer that moved from a row not yet read to one already read is not missed: what changed
    during the reading is read again at its end. Before that it waits for `settle_s`, since a change
    can be seen a moment before it is told.
    """
    keep: set[bytes] = set()
    changed: set[tuple[type[Record], tuple[str, ...]]] = set()
    everything = False

    def note(change: Change) -> None:
        nonlocal everything
        if change.keys is None:
            everything = True
        else:
            changed.update(each for each in change.keys if each[0] in objects.CARRIERS)

    end = store.subscribe(note)
    try:
        for carrier in objects.CARRIERS:
            async for found in rows(store, carrier):
                for row in found:
                    keep.update(objects.of(row))
        await asyncio.sleep(settle_s)
    finally:
        end()
    with store.view() as view:
        if everything:
            return set(objects.pointed_to(view))
        for record, key in changed:
            keep.update(objects.of(view.get(record, *key)))
    return keep
