"""What a node does beside answering, for as long as it serves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import structlog

from cluster import ClusterError
from hexhub import expiry, sealer, turns
from hexhub.advisory_feed import AdvisoryFeed
from hexhub.config import Config
from hexhub.domain import backups
from hexhub.eraser import Eraser
from hexhub.hub import Hub
from hexhub.limit_exchange import LimitExchange

SWEEP_EVERY_S = 3600.0
SWEEP_GRACE_S = 24 * 3600.0


def all_of(
    hub: Hub, config: Config, log: structlog.typing.FilteringBoundLogger
) -> Iterator[Coroutine[Any, Any, None]]:
    """Each goes on until it is cancelled, but for what is done once after the start."""
    yield _read_ahead(hub)
    yield hub.counters.run()
    yield sealer.run(hub.node)
    yield Eraser(hub.store, hub.storage).run()
    yield expiry.run(hub.node, hub.now)
    yield hub.sender.run()
    yield _sweep(hub, log)
    if config.advisories_url is not None and not config.offline:
        yield AdvisoryFeed(hub.node, config.advisories_url, hub.now).run()
    if hub.node.clustered:
        streams, members = hub.node.streams, hub.node.members
        yield LimitExchange(streams, config.node_name, members, hub.limits).run()
    if hub.backups is not None:
        leads, note = partial(_leads, hub), partial(_note_backup, hub)
        yield hub.backups.run(hub.backup_source(), leads, note)
    if hub.mirror is not None:
        yield hub.mirror.run()


async def _read_ahead(hub: Hub) -> None:
    """Make the public lists and the catalogue before somebody asks, between other work."""
    await hub.own.warm()
    await hub.catalogue.ready(hub.now().date())


def _leads(hub: Hub) -> bool:
    return hub.node.status().role == "leader"


async def _note_backup(hub: Hub, outcome: backups.Outcome) -> None:
    """Let all nodes know what came of a backup; that it is made matters more."""
    with suppress(ClusterError):
        await hub.store.transact(backups.note, hub.node.settings.name, outcome)


async def _sweep(hub: Hub, log: structlog.typing.FilteringBoundLogger) -> None:
    """Delete objects that nothing points to, once they are a day old."""
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        try:
            await hub.store.barrier()  # a node that is cut off does not know what is pointed to
        except ClusterError:
            continue
        keep = await turns.pointed_to(hub.store)
        applied = hub.store.applied
        deleted = await hub.storage.sweep(keep, older_than_s=SWEEP_GRACE_S, applied=applied)
        if deleted:
            log.info("swept objects that nothing points to", deleted=deleted)
