"""Work in the background that an administrator began: what it is, how far it is, what came of it.

Rows are replicated, so that any node can answer about work that goes on at another one, and what
came of it is still known after a restart. The node that works writes at most twice a second.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice

import msgspec

from cluster import Transaction, View
from hexhub.domain import audit
from hexhub.domain.audit import Origin
from hexhub.errors import Clash, NotFound
from hexhub.schema import Job

KEPT = 100
"""Rows that are kept, the newest."""
SILENT = timedelta(seconds=45)
"""A node that wrote nothing for so long is gone, and its work with it."""
NOTES_MAX = 50
NOTE_LENGTH_MAX = 300
SAID_LENGTH_MAX = 500
ABOUT_LENGTH_MAX = 200


def alive(job: Job, now: datetime) -> bool:
    """Whether somebody still works at it, as far as the tables tell."""
    return job.state == "running" and now - job.seen_at < SILENT


def begin(tx: Transaction, origin: Origin, job: Job) -> Job:
    """Note that work begins. Raises Clash while the same work is going on."""
    for other in list(tx.scan(Job)):
        if (other.kind, other.about) == (job.kind, job.about) and alive(other, job.started_at):
            raise Clash(f"that is being done already, on {other.node}")
    for old in list(islice(tx.scan(Job, reverse=True), KEPT - 1, None)):
        if not alive(old, job.started_at):
            tx.delete(old)
    job = msgspec.structs.replace(job, about=job.about[:ABOUT_LENGTH_MAX], by=origin.by)
    tx.put(job)
    audit.record(tx, origin, job.kind, {"about": job.about, "node": job.node}, job.started_at)
    return job


def write(tx: Transaction, job: Job) -> bool:
    """Write how far it is; whether somebody asked for an end of it meanwhile."""
    there = tx.get(Job, job.id)
    stop = there is not None and there.stop
    tx.put(
        msgspec.structs.replace(
            job,
            stop=stop,
            said=job.said[:SAID_LENGTH_MAX],
            notes=tuple(note[:NOTE_LENGTH_MAX] for note in job.notes[:NOTES_MAX]),
        )
    )
    return stop


def stop(tx: Transaction, origin: Origin, id: str, now: datetime) -> None:
    """Ask the node that works to end it. Raises NotFound; what has ended stays as it is."""
    job = find(tx, id)
    if job.state == "running" and not job.stop:
        tx.put(msgspec.structs.replace(job, stop=True))
        audit.record(tx, origin, "job.stop", {"job": job.kind, "about": job.about}, now)


def find(view: View, id: str) -> Job:
    """Raises NotFound."""
    job = view.get(Job, id)
    if job is None:
        raise NotFound("No such work is known; only the newest is remembered.")
    return job


def newest(view: View, count: int = KEPT) -> list[Job]:
    """What was begun last, first."""
    return list(islice(view.scan(Job, reverse=True), count))
