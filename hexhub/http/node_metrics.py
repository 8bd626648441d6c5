"""What a node tells Prometheus of itself: log, tables, members, objects, mails, backups."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from cluster import Figures
from cluster.files import used_bytes
from hexhub import turns
from hexhub.backup.schedule import Schedule
from hexhub.schema import Kept, Mail, Release
from hexhub.storage.hybrid import HybridStorage

if TYPE_CHECKING:
    from hexhub.hub import Hub

ROLES = ("leader", "follower", "candidate", "joining")
SUMS_GOOD_FOR_S = 60.0


class Listening(Protocol):
    """The public socket, as it is watched."""

    @property
    def connected(self) -> int:
        """Open connections."""
        ...

    @property
    def answered_hot(self) -> int:
        """Requests answered before they were parsed."""
        ...


class NodeCollector(Collector):
    """Asks the hub at each scrape; sums over whole tables at most once a minute."""

    def __init__(self) -> None:
        self.hub: Hub | None = None
        self.listening: Listening | None = None
        self.backups: Schedule | None = None
        self._sums: Counter[str] = Counter()
        self._summed_at = float("-inf")
        self._turn = asyncio.Lock()

    async def sum_up(self) -> None:
        """Read the sums anew when they are old, without holding the loop."""
        async with self._turn:
            if self.hub is not None and time.monotonic() - self._summed_at > SUMS_GOOD_FOR_S:
                self._sums, self._summed_at = await _sums(self.hub), time.monotonic()

    def collect(self) -> Iterator[Metric]:
        if self.hub is None:
            return
        yield from _raft(self.hub)
        yield from _disk(self.hub)
        yield from self._objects(self.hub)
        yield from self._queues(self.hub)
        if self.listening is not None:
            yield from _connections(self.listening)
        if self.backups is not None:
            yield from _backups(self.backups)

    def _objects(self, hub: Hub) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "hexhub_storage_bytes",
            "Bytes of objects that the tables point to: own tarballs, kept copies of the upstream.",
            labels=["class"],
        )
        for kind in ("own", "kept"):
            family.add_metric([kind], self._sums[kind])
        yield family
        yield _gauge("hexhub_storage_damaged", "Objects found damaged.", hub.storage.damaged)
        repaired = CounterMetricFamily(
            "hexhub_storage_repaired", "Damaged objects that gave way to a good copy."
        )
        repaired.add_metric([], hub.storage.repaired)
        yield repaired
        yield _gauge(
            "hexhub_storage_behind", "Objects this node has still to fetch.", hub.storage.behind
        )
        yield _gauge("hexhub_releases", "Releases published here.", self._sums["releases"])
        yield _gauge("hexhub_mails_waiting", "Mails to be sent.", self._sums["mails"])
        yield _gauge("hexhub_mails_failed", "Mails that were given up.", self._sums["failed"])
        if isinstance(hub.storage, HybridStorage):
            yield _gauge(
                "hexhub_storage_cache_bytes",
                "Local copies of what is in the bucket.",
                hub.storage.cached_bytes,
            )
            reads = CounterMetricFamily(
                "hexhub_storage_cache_requests",
                "Objects asked of the local copies.",
                labels=["result"],
            )
            reads.add_metric(["hit"], hub.storage.hits)
            reads.add_metric(["miss"], hub.storage.misses)
            yield reads

    def _queues(self, hub: Hub) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "hexhub_queue_length", "What waits for its turn, by kind.", labels=["queue"]
        )
        family.add_metric(["proposals"], hub.store.waiting[0])
        family.add_metric(["passwords"], hub.passwords.waiting)
        family.add_metric(["mails"], self._sums["mails"])
        family.add_metric(["objects"], hub.storage.behind)
        family.add_metric(["upstream"], hub.mirror.mirrored.under_way if hub.mirror else 0)
        yield family


def _connections(listening: Listening) -> Iterator[Metric]:
    yield _gauge(
        "hexhub_http_connections", "Open connections to the public port.", listening.connected
    )
    family = CounterMetricFamily(
        "hexhub_http_hot_answers",
        "Requests answered from memory in one step; they count as requests, and are never in flight.",
    )
    family.add_metric([], listening.answered_hot)
    yield family


async def _sums(hub: Hub) -> Counter[str]:
    sums: Counter[str] = Counter()
    async for releases in turns.rows(hub.store, Release, pause_s=0):
        sums["own"] += sum(release.size for release in releases)
        sums["releases"] += len(releases)
    async for kept in turns.rows(hub.store, Kept, pause_s=0):
        sums["kept"] += sum(row.size for row in kept)
    async for mails in turns.rows(hub.store, Mail, pause_s=0):
        sums["mails"] += sum(mail.due is not None for mail in mails)
        sums["failed"] += sum(mail.due is None and bool(mail.error) for mail in mails)
    return sums


def _raft(hub: Hub) -> Iterator[Metric]:
    state = hub.node.status()
    yield _gauge("hexhub_raft_applied_index", "Last log entry applied.", state.applied)
    yield _gauge("hexhub_raft_commit_index", "Last log entry committed.", state.commit)
    yield _gauge("hexhub_raft_term", "Current term.", state.term)
    yield _gauge("hexhub_raft_is_leader", "1 when this node leads.", state.role == "leader")
    yield _gauge("hexhub_raft_has_quorum", "1 when writes are taken.", state.quorum)
    role = GaugeMetricFamily("hexhub_raft_role", "1 for the role of this node.", labels=["role"])
    for each in ROLES:
        role.add_metric([each], state.role == each)
    yield role
    yield _gauge("hexhub_raft_members", "Members of the cluster.", len(state.members))
    reachable = sum(member.reachable for member in state.members)
    yield _gauge("hexhub_raft_members_reachable", "Members that answer.", reachable)
    lag = GaugeMetricFamily(
        "hexhub_raft_lag_entries", "How far each member is behind, in entries.", labels=["member"]
    )
    for member in state.members:
        lag.add_metric([member.name], member.lag)
    yield lag
    yield _gauge(
        "hexhub_disk_free_bytes", "What may still be written on the data disk.", state.disk_free
    )


def _disk(hub: Hub) -> Iterator[Metric]:
    folder = hub.node.settings.directory
    yield from _figures(hub.node.figures())
    for name, part, meaning in (
        ("hexhub_tables_bytes", "state", "Disk used by the tables."),
        ("hexhub_log_bytes", "raft", "Disk used by the log."),
        ("hexhub_snapshot_bytes", "snapshots", "Disk used by the snapshot."),
    ):
        yield _gauge(name, meaning, used_bytes(folder / part))
    try:
        taken = (folder / "snapshots" / "META").stat().st_mtime
    except OSError:
        return
    yield _gauge("hexhub_snapshot_timestamp_seconds", "When the newest snapshot was taken.", taken)


def _figures(figures: Figures) -> Iterator[Metric]:
    yield _gauge("hexhub_lmdb_used_bytes", "Pages of the tables, in LMDB.", figures.tables)
    yield _gauge(
        "hexhub_lmdb_map_bytes", "The map that LMDB has for the tables; it grows.", figures.map
    )
    yield _gauge("hexhub_log_entries", "Entries that the log still holds.", figures.entries)
    yield _gauge("hexhub_queue_bytes", "Bytes of proposals that wait.", figures.waiting_bytes)
    if figures.syncs is None:
        return
    bounds = [str(bound) for bound in figures.syncs.BOUNDS] + ["+Inf"]
    counts = accumulate(list(figures.syncs.counts))
    yield HistogramMetricFamily(
        "hexhub_log_fsync_duration_seconds",
        "How long the disk took to make log entries durable.",
        buckets=list(zip(bounds, map(float, counts), strict=True)),
        sum_value=figures.syncs.seconds,
    )


def _backups(schedule: Schedule) -> Iterator[Metric]:
    last = schedule.last.timestamp() if schedule.last else 0.0
    yield _gauge(
        "hexhub_backup_last_success_timestamp_seconds",
        "When the newest scheduled backup was begun; 0: never.",
        last,
    )
    failures = CounterMetricFamily("hexhub_backup_failures", "Scheduled backups that failed.")
    failures.add_metric([], schedule.failures)
    yield failures


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, value=float(value))
