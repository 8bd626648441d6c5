"""Runs work in the background of this node, and lets all nodes see how far it is.

A request begins it and is answered at once; the work belongs to nobody, ends by itself, and can be
asked to end at any node. What a node was doing when it stopped is not taken up again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import structlog

from cluster import Change, ClusterError
from hexhub.domain import jobs
from hexhub.domain.audit import Origin
from hexhub.errors import Clash, HubError
from hexhub.schema import Job

if TYPE_CHECKING:
    from cluster import Store

WRITE_EVERY_S = 0.5
BEAT_EVERY_S = 15.0
LAST_WORD_S = 3.0
AT_ONCE_MAX = 4


class Progress:
    """What work tells of itself; read by the task that writes it down."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.moved = asyncio.Event()

    def step(self, count: int = 1, *, failed: bool = False, note: str = "") -> None:
        """So much more is done; `note` is a line worth reading, of what failed above all."""
        job = self.job
        notes = (*job.notes, note) if note and len(job.notes) < jobs.NOTES_MAX else job.notes
        self.job = msgspec.structs.replace(
            job, done=job.done + count, failed=job.failed + failed, notes=notes
        )
        self.moved.set()

    def expect(self, total: int) -> None:
        """So much there is to do."""
        self.job = msgspec.structs.replace(self.job, total=total)
        self.moved.set()


Work: TypeAlias = Callable[[Progress], Awaitable[str]]
"""Does something, tells how far it is, and returns in words what came of it."""


class Jobs:
    def __init__(self, store: Store, node: str, now: Callable[[], datetime]) -> None:
        self._store = store
        self._node = node
        self._now = now
        self._running: dict[str, asyncio.Task[None]] = {}
        store.subscribe(self._changed)

    async def begin(
        self,
        origin: Origin,
        kind: str,
        about: str,
        work: Work,
        *,
        total: int | None = None,
        unit: str = "",
    ) -> str:
        """Begin work and return its id. `unit`: what is counted, `bytes` or a noun.

        Raises Clash while the same goes on, or too much here.
        """
        if len(self._running) >= AT_ONCE_MAX:
            raise Clash("enough is being done on this node: wait until something has ended")
        now = self._now()
        job = Job(
            id=f"{now:%Y%m%dT%H%M%S%f}-{self._node}",
            kind=kind,
            about=about,
            node=self._node,
            total=total,
            unit=unit,
            started_at=now,
            seen_at=now,
        )
        job = await self._store.transact(jobs.begin, origin, job)
        task = asyncio.create_task(self._run(Progress(job), work))
        self._running[job.id] = task
        task.add_done_callback(lambda _: self._running.pop(job.id, None))
        return job.id

    async def _run(self, progress: Progress, work: Work) -> None:
        writing = asyncio.create_task(self._write_along(progress))
        state = "failed"
        try:
            said = await work(progress)
            state = "done"
        except asyncio.CancelledError:
            state, said = "stopped", "Ended before it was done."
        except (HubError, ClusterError, OSError) as error:
            said = str(error) or type(error).__name__
        except Exception:
            structlog.get_logger().exception("background work failed", kind=progress.job.kind)
            said = "Something unforeseen went wrong; the log of this node tells what."
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        now = self._now()
        progress.job = msgspec.structs.replace(
            progress.job, state=state, said=said, seen_at=now, ended_at=now
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORD_S):
                await self._write(progress.job)

    async def _write_along(self, progress: Progress) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_EVERY_S):
                    await progress.moved.wait()
            progress.moved.clear()
            progress.job = msgspec.structs.replace(progress.job, seen_at=self._now())
            await self._write(progress.job)
            await asyncio.sleep(WRITE_EVERY_S)

    async def _write(self, job: Job) -> None:
        try:
            await self._store.transact(jobs.write, job)
        except ClusterError as error:  # the next one tells as much
            structlog.get_logger().warning("progress is not noted", reason=str(error))

    def _changed(self, change: Change) -> None:
        """End what somebody asked to end, at whichever node."""
        if not self._running or change.keys is None:
            return
        for record, key in change.keys:
            task = self._running.get(key[0]) if record is Job else None
            if task is None:
                continue
            with self._store.view() as view:
                row = view.get(Job, key[0])
            if row is not None and row.stop and row.state == "running":
                task.cancel()

    async def close(self) -> None:
        """End what is going on; the tables are told, if they can be."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
