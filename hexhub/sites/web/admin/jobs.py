"""Work in the background: what is going on, how far it is, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import msgspec
from aiohttp.web import StreamResponse

from hexhub.domain import jobs
from hexhub.errors import NotFound
from hexhub.http.blobs import Streamed
from hexhub.http.call import Call
from hexhub.http.routes import Routes
from hexhub.schema import Job
from hexhub.sites.web import pages
from hexhub.sites.web.admin import gate
from hexhub.sites.web.spoken import counted, size

routes = Routes(gate.administration)

TICKS, TICK_S = 20, 0.5
"""A stream ends after some ticks and the browser asks again, with its session as it is then."""

KINDS = {
    "mirror.refresh": "Refresh kept packages",
    "mirror.evict": "Evict kept packages",
    "backup.create": "Make a backup",
    "backup.verify": "Verify a backup",
    "storage.count": "Count stored objects",
}


@routes.get("/jobs", allow=gate.LOOKS)
async def list_jobs(call: Call) -> StreamResponse:
    """The newest work, on all nodes."""
    with call.hub.store.view() as view:
        found = jobs.newest(view)
    return gate.page("jobs.html", found=[shown(job, call.now) for job in found])


@routes.get("/jobs/{id}", allow=gate.LOOKS)
async def show(call: Call) -> StreamResponse:
    """How far it is."""
    with call.hub.store.view() as view:
        job = jobs.find(view, call.path["id"])
    return gate.page("job.html", shown=shown(job, call.now))


@routes.get("/jobs/{id}/live", allow=gate.LOOKS)
async def live(call: Call) -> StreamResponse:
    """The same as it moves (server-sent events); the last one says that it has ended."""
    id, hub = call.path["id"], call.hub
    with hub.store.view() as view:
        jobs.find(view, id)

    async def ticks() -> AsyncIterator[bytes]:
        yield b"retry: 1000\n\n"
        for _ in range(TICKS):
            with hub.store.view() as view:
                try:
                    job = jobs.find(view, id)
                except NotFound:
                    return
            values = shown(job, hub.now())
            told = {name: values[name] for name in ("progress", "failed", "share", "ended")}
            yield b"data: " + msgspec.json.encode(told) + b"\n\n"
            if values["ended"]:
                return
            await asyncio.sleep(TICK_S)

    return Streamed(200, gate.EVENTS, ticks())


@routes.post("/jobs/{id}/stop", allow=gate.CHANGES)
async def stop(call: Call) -> StreamResponse:
    """Ask the node that works to end it."""
    await call.hub.store.transact(jobs.stop, call.origin, call.path["id"], call.now)
    return pages.redirect(f"/admin/jobs/{call.path['id']}")


def to(id: str) -> StreamResponse:
    """Go and see how far it is."""
    return pages.redirect(f"/admin/jobs/{id}")


def shown(job: Job, now: datetime) -> dict[str, object]:
    """A row in words."""
    alive = jobs.alive(job, now)
    state = job.state if alive or job.state != "running" else "broken off"
    return {
        "job": job,
        "what": KINDS.get(job.kind, job.kind),
        "state": "stopping" if alive and job.stop else state,
        "mark": {"done": "good", "failed": "bad", "broken off": "bad", "running": "accent"}.get(
            state, "warn"
        ),
        "progress": _progress(job),
        "failed": counted(job.failed, "failure") if job.failed else "",
        "share": min(1.0, job.done / job.total) if job.total else None,
        "ended": not alive,
    }


def _progress(job: Job) -> str:
    if job.unit == "bytes":
        of = f" of about {size(job.total)}" if job.total and job.state == "running" else ""
        return size(job.done) + of
    if job.total is None:
        return counted(job.done, job.unit) if job.unit else f"{job.done:,}"
    return f"{job.done:,} of {counted(job.total, job.unit or 'step')}"
