"""One member: opens everything in order, closes it in reverse, and tells how it is."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shutil
import time
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from cluster import boot
from cluster.boot import Opened
from cluster.configuration import REMOVE, MemberChange, name_of
from cluster.discovery import Peer
from cluster.disk import State
from cluster.errors import (
    ClusterError,
    Damaged,
    DiskFull,
    DiskReadOnly,
    LinkRefused,
    NoLeader,
    NotJoined,
)
from cluster.files import free_bytes, is_read_only, used_bytes
from cluster.forming import gather
from cluster.links import Address, Hello, Link, hang_up, text_of
from cluster.lock import LOCK, take
from cluster.membership import Membership
from cluster.mesh import LOOK_SECONDS, Book, Mesh
from cluster.migrate import is_current, migrate, refuse_newer
from cluster.raft import Raft
from cluster.settings import NodeSettings, Room
from cluster.status import Figures, Member, Status
from cluster.store import Store
from cluster.streams import Streams
from cluster.table import Schema

log = logging.getLogger(__name__)

READY_SECONDS = 60.0
WATCH_SECONDS = 0.25
LOST_SECONDS = 3.0
KNOWN_SECONDS = 3.0
ADDRESSES, EMPTY = "addresses", "empty"
REPLACE = (
    "One of several members: remove it there, and have it join anew with an empty directory. A "
    "lone one: restore a snapshot or a backup"
)


class Node:
    """One open member. Make it with `await Node.open(settings, schema)`."""

    def __init__(self, settings: NodeSettings, lock: int, schema: Schema, rows: State) -> None:
        self.settings = settings
        self.schema = schema
        self.store = Store(rows, schema, room=Room(settings))
        self.closed = False
        self.removed = False
        self.waits_for = ""
        self._raft: Raft | None = None
        self._lock = lock
        self._rows = rows
        self._opened: Opened | None = None
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._incarnation = f"{secrets.token_hex(8)}/{settings.name}"
        self._hellos: dict[str, Hello] = {}
        self._book = Book(settings.directory / ADDRESSES)
        self._at: Address = (settings.advertise, 0)
        self._streams: Streams | None = None
        self._membership: Membership | None = None
        self._mesh: Mesh | None = None
        self._left = False

    @classmethod
    async def open(cls, settings: NodeSettings, schema: Schema) -> Node:
        """Open a data directory (made when missing); called with a running loop.

        Alone, this member leads when it returns. With other members it returns at once, and
        `store.barrier()` says when there is a leader; so it does while a node without data looks
        for others. Raises DataInUse, Damaged, SchemaTooNew, DiskFull, DiskFailed, NoLeader, OSError.
        """
        directory = settings.directory
        directory.mkdir(parents=True, exist_ok=True)
        lock = take(directory)
        try:
            looks = (
                settings.clustering and settings.secret is not None and settings.bind is not None
            )
            fresh = boot.is_fresh(directory) and not (directory / boot.ALONE).exists() and looks
            opened = None if fresh else await _reconcile(settings)
            rows = State(directory / EMPTY, map_size=1 << 20) if opened is None else opened.state
        except BaseException:
            os.close(lock)
            raise
        node = None
        try:
            if opened is not None:
                refuse_newer(opened.state.read_schema()[0], schema)
            node = cls(settings, lock, schema, rows)
            await node._listen()
            if opened is None:
                node._spawn(gather(node, node._members_of()))
            else:
                await node._start(opened)
            return node
        except BaseException:
            if node is not None:
                node._opened = node._opened or opened
                await node.close()
            else:
                (opened or rows).close()
                os.close(lock)
            raise

    # What it is made of

    @property
    def raft(self) -> Raft:
        """What orders the entries. NoLeader while this node belongs to no cluster yet."""
        if self._raft is None:
            raise NoLeader(f"{self.settings.name} belongs to no cluster yet")
        return self._raft

    @property
    def streams(self) -> Streams:
        """Named streams between members. NotJoined without a secret and an address to bind."""
        if self._streams is None:
            raise NotJoined("this node has no secret, or no address for other members")
        return self._streams

    @property
    def belongs(self) -> bool:
        """Whether it belongs to a cluster, be it of one."""
        return self._raft is not None

    @property
    def clustered(self) -> bool:
        """Whether it has a way to others."""
        return self._streams is not None

    @property
    def address(self) -> Address:
        """Where other members reach it; port 0 when they do not."""
        return self._at

    async def caught_up(self) -> None:
        """Return once what was acknowledged anywhere is here, and who acknowledges waits for us.

        For the second a member has to hear this one, not only the leader; one that is not reached
        is waited for no longer than KNOWN_SECONDS. NoLeader.
        """
        await self.store.barrier()
        raft = self.raft
        if raft.alone:
            return
        since, end = time.monotonic(), self._loop.time() + KNOWN_SECONDS
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self._unheard(raft, since) or self._loop.time() > end:
                break
        await self.store.barrier()

    def _unheard(self, raft: Raft, since: float) -> bool:
        """Whether a member that can be reached has not answered us since then."""
        lost = frozenset[str]() if self._mesh is None else self._mesh.lost()
        return not raft.others <= raft.peers.answered(since) | lost

    def lease_valid(self) -> bool:
        """Whether a read with credentials may be answered here without a barrier."""
        return self.store.current

    # Changing who belongs to it

    def members(self) -> tuple[Member, ...]:
        """The members as this node sees them, itself first; only itself before it has joined."""
        raft, name = self._raft, self.settings.name
        if raft is None:
            return (Member(name, "joining", True, 0, 0, text_of(self._at), self.settings.version),)
        applied = raft.applied
        own = Member(name, self._role(), True, applied, 0, text_of(self._at), self.settings.version)
        reachable = raft.peers.reachable()
        others = []
        for member in sorted(raft.others, key=name_of):
            role = "leader" if raft.leader == member else "follower"
            at = raft.peers.applied.get(member, 0)
            hello = self._hellos.get(member)
            where = text_of(self._book.addresses.get(member, ("", 0)))
            version = hello.version if hello is not None else ""
            lag = max(0, raft.commit - at)
            others.append(
                Member(name_of(member), role, member in reachable, at, lag, where, version)
            )
        return (own, *others)

    async def join(self, target: Address | Peer) -> None:
        """Copy the data of the cluster that listens there; the next open begins with it.

        What is here is given up then. NotJoined says why not, OSError and TimeoutError that
        nobody answers.
        """
        raft = self._raft
        if raft is not None and not raft.alone and not self.removed:
            raise NotJoined(f"{self.settings.name} belongs to a cluster: it must leave that first")
        address = (target.host, target.port) if isinstance(target, Peer) else target
        membership = self._members_of()
        hello, stands = await membership.standing(address)
        if hello.name == self.settings.name:
            raise NotJoined(f"the node there is called {hello.name} too: names must differ")
        if stands.fresh:
            raise NotJoined(f"{hello.name} belongs to no cluster yet")
        book = await membership.fetch(address, self.settings.room)
        self._book.note(book | stands.members | {hello.member: address})
        if raft is None:
            await self.begin()

    async def leave(self) -> None:
        """Have the others take this node out. When it is closed, its data is put aside.

        NotJoined when it is alone, NoLeader.
        """
        if self.raft.alone:
            raise NotJoined(f"{self.settings.name} is the only member of its cluster")
        if not self.removed:
            await self._members_of().remove(self.settings.name)
        self.removed = self._left = True

    async def remove(self, name: str) -> None:
        """Take another member out. NotJoined, NoLeader."""
        if name == self.settings.name:
            raise NotJoined(f"{name} is this node: it leaves")
        await self._members_of().remove(name)

    async def transfer(self, name: str | None = None) -> None:
        """Have `name` lead, or the most caught-up other member. NotJoined, NoLeader."""
        if self.raft.alone and name in (None, self.settings.name):
            raise NotJoined(f"{self.settings.name} is the only member of its cluster")
        await self._members_of().transfer(name)

    def _members_of(self) -> Membership:
        if self._membership is None:
            raise NotJoined("this node has no secret, or no address for other members")
        return self._membership

    # How it is

    def status(self) -> Status:
        """How this node is, from what it knows without asking anyone."""
        raft = self._raft
        leader = None if raft is None or raft.leader is None else name_of(raft.leader)
        return Status(
            node=self.settings.name,
            cluster="" if self._opened is None else self._opened.journal.identity.cluster,
            version=self.settings.version,
            role=self._role(),
            leader=leader,
            term=0 if raft is None else raft.term,
            quorum=raft is not None and raft.quorum and not self.removed,
            applied=self.store.applied,
            commit=0 if raft is None else raft.commit,
            members=self.members(),
            disk_free=free_bytes(self.settings.directory),
            disk_read_only=is_read_only(self.settings.directory / LOCK),
            removed=self.removed,
            waits_for=self.waits_for,
        )

    def figures(self) -> Figures:
        """How much this node holds and how long its disk takes, for whoever watches it."""
        journal = None if self._opened is None else self._opened.journal
        tables, mapped = (self._rows if self._opened is None else self._opened.state).extent()
        waiting, waiting_bytes = self.store.waiting
        return Figures(
            syncs=None if journal is None else journal.syncs,
            entries=0 if journal is None else len(journal),
            tables=tables,
            map=mapped,
            waiting=waiting,
            waiting_bytes=waiting_bytes,
        )

    def _role(self) -> str:
        raft = self._raft
        if raft is None or not raft.standing:
            return "joining"
        if raft.leading:
            return "leader"
        return "candidate" if raft.leader is None else "follower"

    async def snapshot(self) -> Path:
        """Take a snapshot of everything applied; the folder with META and the file it names.

        The next one takes its place, so open the file before you let go of the loop. DiskFull,
        DiskReadOnly, or ClusterError when it could not be written.
        """
        opened = self._opened
        if is_read_only(self.settings.directory / LOCK):
            raise DiskReadOnly("a snapshot cannot be written: the disk is read-only")
        if opened is not None and not self.settings.room(opened.state.size()):
            raise DiskFull("no room for a snapshot on the disk of the data directory")
        future: asyncio.Future[int | None] = self._loop.create_future()

        def done(index: int | None) -> None:
            self.store.post(_resolve, future, index)

        self.raft.snapshot(done)
        if await future is None:
            raise ClusterError("the snapshot could not be written; the log says why")
        return self.settings.directory / boot.SNAPSHOTS

    async def compact(self) -> tuple[int, int]:
        """Give room that nothing is kept in back to the disk; bytes on disk before and after.

        Reads and writes go on. DiskFull, DiskReadOnly, or ClusterError when it was not done.
        """
        before = used_bytes(self.settings.directory)
        await self.snapshot()
        future: asyncio.Future[int | None] = self._loop.create_future()
        self.raft.compact(lambda done: self.store.post(_resolve, future, 1 if done else None))
        if await future is None:
            raise ClusterError("the rows were not made anew; the log says why")
        assert self._opened is not None
        await asyncio.to_thread(self._opened.state.settle)
        return before, used_bytes(self.settings.directory)

    async def close(self) -> None:
        """Finish what is on its way, sync everything, and let go of the directory."""
        if self.closed:
            return
        self.closed = True
        try:
            await self.store.close()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._streams is not None:
                await self._streams.close()
            if self._raft is not None:
                await asyncio.to_thread(self._raft.stop)
            try:
                with suppress(DiskReadOnly):  # what was acknowledged is durable already
                    (self._opened or self._rows).close()
                if self._left:
                    boot.abandon(self.settings.directory)
            finally:
                os.close(self._lock)

    # Meeting others

    async def _listen(self) -> None:
        settings = self.settings
        if settings.secret is None or settings.bind is None:
            return
        self._streams = Streams(
            settings.secret,
            hello=self._hello,
            refuses=self._refuses,
            resolve=self._resolve,
            on_raft=self._on_raft,
        )
        self._membership = Membership(_Here(self, self._streams))
        host, port = await self._streams.listen(settings.bind)
        self._at = (settings.advertise or host, port)

    def _hello(self) -> Hello:
        identity = None if self._opened is None else self._opened.journal.identity
        return Hello(
            cluster="" if identity is None else identity.cluster,
            member=self._incarnation if identity is None else identity.member,
            name=self.settings.name,
            version=self.settings.version,
            schema=self.schema.number,
            address=self._at,
        )

    def _refuses(self, peer: Hello) -> tuple[str, bool]:
        own = self._hello()
        if not own.cluster:
            return f"{own.name} belongs to no cluster yet", False
        if peer.cluster != own.cluster:
            return f"{peer.name} is not of the cluster of {own.name}", False
        return "", False

    def _resolve(self, who: str) -> Address | None:
        return self._book.resolve(who, frozenset() if self._raft is None else self._raft.members)

    def _on_raft(self, link: Link) -> None:
        if self._mesh is None or self.closed:
            hang_up(link.socket)
        else:
            self._mesh.take(link)

    def _note_hello(self, hello: Hello) -> None:
        self._hellos[hello.member] = hello

    async def begin(self) -> None:
        """Begin with what is in the directory now: a copy, or nothing."""
        opened = await _reconcile(self.settings)
        empty, self._rows = self._rows, opened.state
        await self._start(opened)
        empty.close()
        shutil.rmtree(self.settings.directory / EMPTY)
        (self.settings.directory / boot.PROMISE).unlink(missing_ok=True)
        self.waits_for = ""

    async def _start(self, opened: Opened) -> None:
        self._opened = opened
        store, settings = self.store, self.settings
        raft = Raft(
            opened.journal,
            opened.state,
            opened.snapshots,
            snapshot_bytes=settings.snapshot_bytes,
            snapshot_entries=settings.snapshot_entries,
            on_ready=lambda: store.post(self._ready.set),
            on_applied=store.applied_entry,
            on_shown=lambda index: store.post(store.shown, index),
            on_installed=store.installed,
            on_members=lambda change: store.post(self._on_members, change),
        )
        opened.snapshots.addresses = lambda: dict(self._book.addresses)
        for change in opened.journal.changes.values():
            self._on_members(change)
        if raft.standing:
            self.removed = False
        self._raft = raft
        store.attach(raft, opened.state)
        if self._streams is not None:
            self._book.note({raft.member: self._at})
            self._mesh = Mesh(raft, self._streams, self._book, settings.discovery, self._note_hello)
            self._spawn(self._mesh.run())
            self._spawn(self._watch(raft))
        raft.start()
        if raft.alone:
            await self._lead()
            await migrate(store, opened.state, self.snapshot)
        store.installed(store.applied)

    async def _lead(self) -> None:
        try:
            await asyncio.wait_for(self._ready.wait(), READY_SECONDS)
        except TimeoutError:
            raise NoLeader(f"{self.settings.name} does not lead its own cluster") from None

    def _on_members(self, change: MemberChange | None) -> None:
        if change is None:
            return
        if change.kind == REMOVE:
            own = self._opened is not None and change.member == self._opened.journal.identity.member
            self.removed = self.removed or own
        else:
            self._book.note({change.member: (change.host, change.port)})

    async def _watch(self, raft: Raft) -> None:
        """Ask to be counted while this is no member; ask whether it still is while nobody leads."""
        lost_since = self._loop.time()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            now = self._loop.time()
            if raft.quorum or raft.leading:
                lost_since = now
                await self._migrate_later(raft)
            if not raft.standing and not self.removed:
                with suppress(NoLeader, OSError, TimeoutError, LinkRefused):
                    await self._knock(raft)
            elif now - lost_since > LOST_SECONDS and not self.removed:
                lost_since = now
                await self._ask_standing(raft)

    async def _knock(self, raft: Raft) -> None:
        try:
            await self._members_of().knock(raft.journal.last_index)
        except NotJoined as error:
            self.waits_for = str(error)
            log.warning("not counted as a member: %s", error)

    async def _ask_standing(self, raft: Raft) -> None:
        for member in sorted(raft.others):
            address = self._book.addresses.get(member)
            if address is None:
                continue
            with suppress(OSError, TimeoutError, LinkRefused):
                _, stands = await self._members_of().standing(address, raft.applied)
                if stands.out:
                    log.warning("%s was removed from its cluster", self.settings.name)
                    self.removed = True
                    return

    async def _migrate_later(self, raft: Raft) -> None:
        """Bring the rows to our schema once we lead and every member knows it."""
        assert self._opened is not None
        if not raft.ready or raft.alone or is_current(self._opened.state, self.schema):
            return
        known = [self._hellos.get(member) for member in raft.others]
        if all(one is not None and one.schema >= self.schema.number for one in known):
            try:
                await migrate(self.store, self._opened.state, self.snapshot)
            except ClusterError as error:
                log.warning("the rows are not at schema %d yet: %s", self.schema.number, error)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(_complain)
        self._tasks.append(task)


class _Here:
    """A node, as its membership sees it."""

    def __init__(self, node: Node, streams: Streams) -> None:
        self._node = node
        self.streams = streams

    @property
    def raft(self) -> Raft | None:
        return self._node._raft

    @property
    def name(self) -> str:
        return self._node.settings.name

    @property
    def directory(self) -> Path:
        return self._node.settings.directory

    @property
    def schema_number(self) -> int:
        return self._node.schema.number

    @property
    def addresses(self) -> dict[str, Address]:
        return self._node._book.addresses

    async def snapshot(self) -> Path:
        return await self._node.snapshot()


async def _reconcile(settings: NodeSettings) -> Opened:
    try:
        return await asyncio.to_thread(
            boot.reconcile,
            settings.directory,
            settings.name,
            map_size=settings.map_size,
            room=settings.room,
        )
    except Damaged as error:
        raise Damaged(f"{error}. {REPLACE}") from error


def _complain(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a task of the node ended", exc_info=error)


def _resolve(future: asyncio.Future[int | None], index: int | None) -> None:
    if not future.done():
        future.set_result(index)
