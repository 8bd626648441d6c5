"""One member: opens everything in order, closes it in reverse, and tells how it is."""

from __future__ import annotations

import asyncio
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from cluster import boot
from cluster.boot import Opened
from cluster.errors import ClusterError, DataInUse, NoLeader
from cluster.files import free_bytes
from cluster.migrate import migrate, refuse_newer
from cluster.raft import Raft
from cluster.store import Store
from cluster.table import Schema

READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """What one member is started with. Sizes are bytes."""

    name: str
    directory: Path
    version: str = ""
    map_size: int = 1 << 30
    """What the tables may grow to before the map is doubled; address space, not disk."""
    snapshot_bytes: int = 64 << 20
    snapshot_entries: int = 100_000
    """A snapshot is taken, and the journal cut behind it, when it is longer than either."""
    disk_reserve: int = 64 << 20
    """Writes are refused when less than this is free, so that nothing breaks half-way."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member as this node sees it. `lag` is how many entries it is behind."""

    name: str
    role: str
    reachable: bool
    applied: int
    lag: int


@dataclass(frozen=True, slots=True)
class Status:
    """How this node is; `role` is leader, follower, candidate or joining."""

    node: str
    cluster: str
    version: str
    role: str
    leader: str | None
    term: int
    quorum: bool
    applied: int
    commit: int
    members: tuple[Member, ...]
    disk_free: int


class Node:
    """One open member. Make it with `await Node.open(settings, schema)`."""

    def __init__(self, settings: NodeSettings, lock: int, opened: Opened, store: Store) -> None:
        self.settings = settings
        self.store = store
        self.closed = False
        self._lock = lock
        self._opened = opened
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self.raft = Raft(
            opened.journal,
            opened.state,
            opened.snapshots,
            snapshot_bytes=settings.snapshot_bytes,
            snapshot_entries=settings.snapshot_entries,
            on_ready=lambda: store.post(self._ready.set),
            on_applied=store.applied_entry,
        )
        store.attach(self.raft)

    @classmethod
    async def open(cls, settings: NodeSettings, schema: Schema) -> Node:
        """Open a data directory (made when missing) and lead; called with a running loop.

        Raises DataInUse, Damaged, SchemaTooNew, DiskFull, DiskFailed, NoLeader.
        """
        settings.directory.mkdir(parents=True, exist_ok=True)
        lock = _take(settings.directory)
        try:
            opened = await asyncio.to_thread(
                boot.reconcile,
                settings.directory,
                settings.name,
                map_size=settings.map_size,
                room=lambda size: _room(settings, size),
            )
        except BaseException:
            os.close(lock)
            raise
        try:
            refuse_newer(opened.state.read_schema()[0], schema)
            store = Store(opened.state, schema, room=lambda: _room(settings))
            node = cls(settings, lock, opened, store)
        except BaseException:
            opened.close()
            os.close(lock)
            raise
        node.raft.start()
        try:
            await node._lead()
            await migrate(store, opened.state, node.snapshot)
        except BaseException:
            await node.close()
            raise
        return node

    async def _lead(self) -> None:
        try:
            await asyncio.wait_for(self._ready.wait(), READY_SECONDS)
        except TimeoutError:
            raise NoLeader(f"{self.settings.name} does not lead its own cluster") from None

    def status(self) -> Status:
        """How this node is, from what it knows without asking anyone."""
        raft, state = self.raft, self._opened.state
        name = self.settings.name
        role = "leader" if raft.leading else "candidate"
        applied = state.applied[0]
        return Status(
            node=name,
            cluster=self._opened.journal.identity.cluster,
            version=self.settings.version,
            role=role,
            leader=name if raft.leading else None,
            term=raft.term,
            quorum=raft.ready,
            applied=applied,
            commit=raft.commit,
            members=(Member(name, role, True, applied, 0),),
            disk_free=free_bytes(self.settings.directory),
        )

    async def snapshot(self) -> Path:
        """Take a snapshot of everything applied; the folder with META and the file it names.

        The next one takes its place, so open the file before you let go of the loop. ClusterError
        when it could not be written.
        """
        future: asyncio.Future[int | None] = self._loop.create_future()

        def done(index: int | None) -> None:
            self.store.post(_resolve, future, index)

        self.raft.snapshot(done)
        if await future is None:
            raise ClusterError("the snapshot could not be written; the log says why")
        return self.settings.directory / boot.SNAPSHOTS

    async def close(self) -> None:
        """Finish what is on its way, sync everything, and let go of the directory."""
        if self.closed:
            return
        self.closed = True
        try:
            await self.store.close()
        finally:
            await asyncio.to_thread(self.raft.stop)
            try:
                self._opened.close()
            finally:
                os.close(self._lock)


def restore(directory: Path, snapshot: Path, *, name: str) -> int:
    """Make `directory` (missing or empty) a new cluster of one from a snapshot's folder.

    Offline. Returns the index it stands at; raises Damaged or DataInUse.
    """
    return boot.restore(directory, snapshot, name)


def _take(directory: Path) -> int:
    """Lock the directory for this process until the descriptor is closed."""
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(fd, 32).decode("ascii", "replace").strip()
        os.close(fd)
        raise DataInUse(f"{directory} is in use by process {holder or 'unknown'}") from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def _room(settings: NodeSettings, size: int = 0) -> bool:
    return free_bytes(settings.directory) >= settings.disk_reserve + size


def _resolve(future: asyncio.Future[int | None], index: int | None) -> None:
    if not future.done():
        future.set_result(index)
