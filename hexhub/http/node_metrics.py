"""What a node tells Prometheus of itself: log, tables, members, objects, mails, backups."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from hexhub.backup.schedule import Schedule
from hexhub.schema import Kept, Mail, Release
from hexhub.storage.hybrid import HybridStorage

if TYPE_CHECKING:
    from hexhub.hub import Hub

ROLES = ("leader", "follower", "candidate", "joining")
SUMS_GOOD_FOR_S = 60.0


class NodeCollector(Collector):
    """Asks the hub at each scrape; sums over whole tables at most once a minute."""

    def __init__(self) -> None:
        self.hub: Hub | None = None
        self.backups: Schedule | None = None
        self._sums: dict[str, float] = {}
        self._summed_at = float("-inf")

    def collect(self) -> Iterator[Metric]:
        if self.hub is None:
            return
        yield from _raft(self.hub)
        yield from _disk(self.hub)
        yield from self._objects(self.hub)
        if self.backups is not None:
            yield from _backups(self.backups)

    def _objects(self, hub: Hub) -> Iterator[Metric]:
        if time.monotonic() - self._summed_at > SUMS_GOOD_FOR_S:
            self._sums, self._summed_at = _sums(hub), time.monotonic()
        family = GaugeMetricFamily(
            "hexhub_storage_bytes",
            "Bytes of objects that the tables point to: own tarballs, kept copies of the upstream.",
            labels=["class"],
        )
        for kind in ("own", "kept"):
            family.add_metric([kind], self._sums[kind])
        yield family
        yield _gauge("hexhub_storage_damaged", "Objects found damaged.", hub.storage.damaged)
        yield _gauge(
            "hexhub_storage_behind", "Objects this node has still to fetch.", hub.storage.behind
        )
        yield _gauge("hexhub_releases", "Releases published here.", self._sums["releases"])
        yield _gauge("hexhub_mails_waiting", "Mails to be sent.", self._sums["mails"])
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


def _sums(hub: Hub) -> dict[str, float]:
    own = releases = 0
    with hub.store.view() as view:
        for release in view.scan(Release):
            own, releases = own + release.size, releases + 1
        kept = sum(row.size for row in view.scan(Kept))
        mails = sum(1 for _ in view.find(Mail, "due"))
    return {"own": own, "kept": kept, "releases": releases, "mails": mails}


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
    for name, part, meaning in (
        ("hexhub_tables_bytes", "state", "Disk used by the tables."),
        ("hexhub_log_bytes", "raft", "Disk used by the log."),
        ("hexhub_snapshot_bytes", "snapshots", "Disk used by the snapshot."),
    ):
        yield _gauge(name, meaning, _used(folder / part))
    try:
        taken = (folder / "snapshots" / "META").stat().st_mtime
    except OSError:
        return
    yield _gauge("hexhub_snapshot_timestamp_seconds", "When the newest snapshot was taken.", taken)


def _used(folder: Path) -> int:
    """Blocks on the disk: the files of the tables have holes."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_blocks * 512
        except OSError:
            continue
    return total


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
