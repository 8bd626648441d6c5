"""Backups: what there is, what came of the last one, one more now, and whether one is whole."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from aiohttp.web import StreamResponse

from cluster import ClusterError
from hexhub.backup import NotWhole, read
from hexhub.backup.schedule import Schedule
from hexhub.domain import audit, backups
from hexhub.domain.backups import Outcome
from hexhub.errors import HubError, NotFound
from hexhub.http.blobs import Streamed
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.hub import Hub
from hexhub.jobs import Progress, Work
from hexhub.sites.web.account import text
from hexhub.sites.web.admin import gate, jobs, usage
from hexhub.sites.web.spoken import counted, size

PIECE = 1 << 20
COMPRESSED = 3
"""About how much smaller the tables are in a backup; only for the bar that shows progress."""


def routes(used: usage.Usage) -> Routes:
    """The page of a node, with the sums that tell how much there is to back up."""
    found = Routes(gate.administration)

    @found.get("/backups", allow=gate.LOOKS)
    async def show(call: Call) -> StreamResponse:
        """The files, the newest first, and what came of the last ones on all nodes."""
        hub, schedule = call.hub, call.hub.backups
        files = await asyncio.to_thread(_files, schedule) if schedule else []
        with hub.store.view() as view:
            outcomes = sorted(backups.outcomes(view).items())
        status = hub.node.status()
        return gate.page(
            "backups.html",
            schedule=schedule,
            every=round(schedule.every.total_seconds() / 3600) if schedule else 0,
            files=files,
            outcomes=outcomes,
            node=status.node,
            leader=status.leader,
            several=len(status.members) > 1,
        )

    @found.post("/backups/new", allow=gate.CHANGES)
    async def create(call: Call) -> StreamResponse:
        """Make one now, in the background."""
        hub, schedule = call.hub, _schedule(call)
        tables = (await usage.disk(hub))["snapshot"] // COMPRESSED
        expected = 0 if schedule.tables_only else (await used.sums(hub)).size
        id = await hub.jobs.begin(
            call.origin,
            "backup.create",
            hub.node.settings.name,
            making(hub, schedule),
            total=expected + tables or None,
            unit="bytes",
        )
        return jobs.to(id)

    @found.post("/backups/verify", allow=gate.CHANGES)
    async def verify(call: Call) -> StreamResponse:
        """Read all of one and check every hash, in the background."""
        path = _schedule(call).find(text(call, "file"))
        begin = call.hub.jobs.begin
        id = await begin(call.origin, "backup.verify", path.name, verifying(path), unit="bytes")
        return jobs.to(id)

    @found.post("/backups/download", allow=gate.CHANGES)
    async def download(call: Call) -> StreamResponse:
        """Give the file. It holds everything, so this is written down."""
        path = _schedule(call).find(text(call, "file"))
        about = {"about": path.name, "node": call.hub.node.settings.name}
        await call.hub.store.transact(audit.record, call.origin, "backup.download", about, call.now)
        headers = {
            "Content-Type": "application/gzip",
            "Content-Disposition": f'attachment; filename="{path.name}"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
        return Streamed(200, headers, _pieces(path))

    return found


def _schedule(call: Call) -> Schedule:
    if call.hub.backups is None:
        raise NotFound("No folder for backups is set on this node (HEXHUB_BACKUP_DIR).")
    return call.hub.backups


def _files(schedule: Schedule) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for at, path in sorted(schedule.kept(), reverse=True):
        try:
            found.append({"at": at, "name": path.name, "size": path.stat().st_size})
        except FileNotFoundError:
            continue  # the schedule has just deleted it
    return found


def making(hub: Hub, schedule: Schedule) -> Work:
    """Makes a backup on this node, and notes what came of it for all."""

    async def work(progress: Progress) -> str:
        try:
            path = await schedule.once(hub.backup_source(), progress.step)
        except (HubError, ClusterError, OSError) as error:
            schedule.failures += 1
            await _note(hub, Outcome(at=hub.now(), error=str(error) or type(error).__name__))
            raise
        made = path.stat().st_size
        await _note(hub, Outcome(at=hub.now(), file=path.name, size=made))
        return f"{path.name}, {size(made)}. Verify it before you rely on it."

    return work


async def _note(hub: Hub, outcome: Outcome) -> None:
    await hub.store.transact(backups.note, hub.node.settings.name, outcome)


def verifying(path: Path) -> Work:
    """Reads a backup to its end."""

    async def work(progress: Progress) -> str:
        loop, ended = asyncio.get_running_loop(), threading.Event()

        def take(name: str, pieces: Iterator[bytes]) -> None:
            for piece in pieces:
                if ended.is_set():
                    raise NotWhole("nobody waits for this any more")
                loop.call_soon_threadsafe(progress.step, len(piece))

        try:
            checked = await asyncio.to_thread(read.walk, path, take)
        finally:
            ended.set()
        if checked.manifest.missing:
            progress.step(0, failed=True, note=f"{len(checked.manifest.missing):,} objects missing")
        return (
            f"Whole: {counted(len(checked.manifest.members), 'file')}, "
            f"{counted(checked.objects, 'object')}, {size(checked.size)}, "
            f"as of {checked.header.created_at:%Y-%m-%d %H:%M} UTC, key {checked.header.fingerprint}."
        )

    return work


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece
