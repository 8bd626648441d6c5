"""A world of members: what may go wrong goes wrong, in an order that only the seed decides.

`python -m tests.cluster.simulator.world FIRST LAST [stock]` runs seeds by hand; `stock` leaves out
the guard, so that PySyncObj hears everything as it was sent.
"""

from __future__ import annotations

import logging
import random
import shutil
import sys
import tempfile
import zlib
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pysyncobj.node
import pysyncobj.syncobj

from cluster import boot, command, snapshots as copies
from cluster.configuration import ADD, REMOVE, MemberChange
from cluster.errors import Damaged, LinkRefused
from cluster.guard import Guard
from cluster.journal import Identity, Journal
from cluster.machine import Applied, Outcome
from cluster.messages import Message
from cluster.raft import Raft
from cluster.snapshots import Snapshots
from tests.cluster.simulator.disk import MemoryLog, MemoryState

STEPS = 2000
BATCH_BYTES = 600
HEAL_ROUNDS = 2500
CLOCK_STEP = 2e-5
"""Every look at the clock takes time, so that loops bounded by time end."""


class Broken(Exception):
    """An invariant does not hold."""


class Crashed(Exception):
    """A member ended itself."""


class Unguarded(Guard):
    """PySyncObj as it is."""

    def outgoing(self, member: str, message: Message) -> bool:
        if message["type"] == "next_node_idx":
            message["term"] = self._facts.term
        return self._send(member, message)

    def incoming(self, member: str, message: Message) -> None:
        self._deliver(member, message)


class Disk:
    """What outlives a crash of one member."""

    def __init__(self, root: Path, identity: Identity) -> None:
        self.log = MemoryLog()
        self.state = MemoryState()
        self.path = root / identity.member.replace("/", "-")
        self.path.mkdir()
        self.identity = identity


class Carrier:
    """The wires of one running member."""

    def __init__(self, world: World, me: str) -> None:
        self.world, self.me = world, me

    def send(self, member: str, content: bytes) -> bool:
        return self.world.send(self.me, member, content)

    def backlog(self, member: str) -> int:
        return 1 << 30 if self.world.chance.random() < 0.03 else 0

    def has(self, member: str) -> bool:
        return self.world.link(self.me, member) in self.world.links

    def drop(self, member: str) -> None:
        self.world.disconnect(self.me, member)

    def end_silent(self) -> None: ...
    def close(self) -> None: ...


class World:
    """All members of one run."""

    def __init__(self, seed: int, root: Path, *, guarded: bool = True) -> None:
        self.chance = random.Random(seed)
        self.seed, self.root, self.guarded = seed, root, guarded
        self.time = 1000.0
        self.disks: dict[str, Disk] = {}
        self.running: dict[str, Raft] = {}
        self.jobs: dict[str, list[Callable[[], None]]] = defaultdict(list)
        self.queues: dict[tuple[str, str], deque[bytes]] = defaultdict(deque)
        self.links: set[tuple[str, str]] = set()
        self.cut: set[tuple[str, str]] = set()
        self.offsets: dict[str, float] = {}
        self.counts: Counter[str] = Counter()
        self.leaders: dict[int, str] = {}
        self.entries: dict[int, bytes] = {}
        self.effects: dict[bytes, int] = {}
        self.acknowledged: dict[bytes, int] = {}
        self.newest = 0
        self.asked: list[bytes] = []
        self.disorder = seed % 2 == 0
        size = 3 if seed % 3 else 5
        members = tuple(f"0/{at}" for at in range(size))
        for member in members:
            self.disks[member] = Disk(root, Identity("sim", member, members))
        self.first = members
        for member in members:
            self.start(member)

    # Time and network

    def clock(self) -> float:
        self.time += CLOCK_STEP
        return self.time

    @staticmethod
    def link(one: str, other: str) -> tuple[str, str]:
        return (one, other) if one < other else (other, one)

    def connect(self, one: str, other: str) -> None:
        link = self.link(one, other)
        if one == other or link in self.links or link in self.cut:
            return
        here, there = self.running.get(one), self.running.get(other)
        if here is None or there is None:
            return
        if other in here.others or one in there.others:
            self.links.add(link)
            here.connected(other)
            there.connected(one)

    def disconnect(self, one: str, other: str) -> None:
        link = self.link(one, other)
        if link not in self.links:
            return
        self.links.discard(link)
        for here, there in ((one, other), (other, one)):
            self.queues[here, there].clear()
            if here in self.running:
                self.running[here].ended(there)

    def send(self, sender: str, receiver: str, frame: bytes) -> bool:
        if self.link(sender, receiver) not in self.links:
            return False
        queue = self.queues[sender, receiver]
        queue.append(frame)
        if self.disorder and self.chance.random() < 0.01:
            queue.append(frame)
            self.counts["doubled"] += 1
        return True

    def deliver(self, sender: str, receiver: str) -> None:
        queue = self.queues[sender, receiver]
        if self.disorder and len(queue) > 1 and self.chance.random() < 0.05:
            queue.rotate(-1)
            frame = queue.popleft()
            queue.rotate(1)
            self.counts["overtook"] += 1
        else:
            frame = queue.popleft()
        if receiver in self.running:
            self.do(receiver, lambda: self.running[receiver].receive(sender, frame))

    # Members

    def start(self, member: str) -> None:
        disk = self.disks[member]
        journal = Journal(disk.log)  # type: ignore[arg-type]
        state: Any = disk.state
        vars(state).pop("switch", None)
        if not len(journal):
            journal.begin(boot.FIRST, disk.identity)
        meta = copies.load(disk.path / boot.SNAPSHOTS)
        try:
            boot._agree(journal, state, meta, disk.path)
        except Damaged as error:
            raise Broken(f"{member} does not start: {error}") from None
        journal.commit_floor = state.applied[0]
        jobs = self.jobs[member] = []

        def beside(work: Callable[[], None]) -> None:
            jobs.append(work)

        snapshots = Snapshots(
            disk.path / boot.SNAPSHOTS, state, journal, room=lambda size: True, beside=beside
        )
        state.noted = self.noted
        self.make_fragile(state, "switch")
        self.make_fragile(journal, "rebase")
        offset = self.offsets.setdefault(member, self.chance.random() * 1000)
        raft = Raft(
            journal,
            state,
            snapshots,
            snapshot_bytes=1 << 30,
            snapshot_entries=1 << 30,
            on_ready=lambda: None,
            on_applied=lambda done: None,
            carrier=lambda _: Carrier(self, member),
            clock=lambda: self.clock() + offset,
            on_crash=self.ended_itself,
        )
        # pysyncobj's own clock has no offset, so its deadlines are compared with it alone
        raft._clock = self.clock
        raft._core.conf.appendEntriesBatchSizeBytes = BATCH_BYTES
        if not self.guarded:
            raft.guard.__class__ = Unguarded
        self.running[member] = raft
        for other in list(self.running):
            self.connect(member, other)

    def make_fragile(self, owner: Any, name: str) -> None:
        """A member may end right before and right after a step of taking over a snapshot."""
        real = getattr(owner, name)

        def step(*args: Any) -> None:
            self.perhaps_end(name)
            real(*args)
            self.perhaps_end(name)

        setattr(owner, name, step)

    def perhaps_end(self, where: str) -> None:
        if self.chance.random() < 0.1:
            self.counts[f"ended at {where}"] += 1
            raise Crashed(where)

    def ended_itself(self, why: str) -> None:
        raise Crashed(why)

    def crash(self, member: str) -> None:
        for other in list(self.disks):
            self.disconnect(member, other)
        raft = self.running.pop(member)
        self.counts.update(raft.guard.counts)
        self.jobs[member] = []
        raft.snapshots.join()
        raft.release()
        self.counts["crash"] += 1

    def do(self, member: str, work: Callable[[], None]) -> None:
        """Something happens in a member; what it raises ends it."""
        try:
            work()
        except Broken:
            raise
        except LinkRefused:
            raise
        except Exception as error:
            self.counts[f"ended: {type(error).__name__} {str(error)[:60]}"] += 1
            if member in self.running:
                self.crash(member)

    def tick(self, member: str) -> None:
        jobs = self.jobs[member]
        while jobs and self.chance.random() < 0.3:
            self.do(member, jobs.pop(0))
        if member in self.running:
            raft = self.running[member]
            self.do(member, lambda: raft.tick(0))
            self.see_leader(member)

    # Invariants

    def see_leader(self, member: str) -> None:
        raft = self.running.get(member)
        if raft is not None and raft.leading:
            other = self.leaders.setdefault(raft.term, member)
            if other != member:
                raise Broken(f"two leaders in term {raft.term}: {other} and {member}")

    def noted(self, index: int, entry: bytes, done: Applied) -> None:
        if self.entries.setdefault(index, entry) != entry:
            raise Broken(f"two entries applied at {index}")
        for id, outcome in done.outcomes:
            if outcome is not Outcome.COMMITTED or not done.changed:
                continue
            if self.effects.setdefault(id, index) != index:
                raise Broken(f"{id!r} took effect at {index} and at {self.effects[id]}")

    def write(self, member: str, *, revokes: bool) -> None:
        raft = self.running[member]
        if self.asked and self.chance.random() < 0.1:
            id = self.chance.choice(self.asked[-20:])  # a client that heard nothing asks again
        else:
            id = len(self.asked).to_bytes(16, "big")
            self.asked.append(id)
        value = b"x" * self.chance.randrange(200)
        word = command.Commit((), (), (command.Write(b"row" + id, value),))
        entry = command.join([command.encode(command.Proposal(id, word))])

        def answered(done: Applied | None, certain: bool) -> None:
            if done is None:
                return
            if [one for one, _ in done.outcomes] != [id]:
                self.counts["answer to another"] += 1
                return
            self.acknowledged.setdefault(id, done.index)
            self.newest = max(self.newest, self.effects[id])
            if revokes and member in self.running:
                raft.peers.settle(done.index, lambda index: self.settled(index))

        raft.propose(entry, answered)

    def settled(self, index: int | None) -> None:
        """Nobody who is behind may still believe in its lease."""
        if index is None:
            return
        self.counts["settled"] += 1
        for member, raft in self.running.items():
            valid = raft.peers.lease_until() > self.time + self.offsets[member]
            if raft.standing and valid and raft.applied < index:
                raise Broken(f"{member} reads by lease at {raft.applied} after {index} settled")

    def read(self, member: str) -> None:
        """What was acknowledged before a read began is in it."""
        raft, before = self.running[member], self.newest

        def answered(index: int | None) -> None:
            if index is None:
                return
            self.counts["read"] += 1
            if index < before or raft.applied < index:
                raise Broken(f"a read at {member} shows {raft.applied} of {index}, not {before}")

        raft.peers.read(answered)

    # What goes wrong

    def step(self) -> None:
        chance = self.chance.random
        at, up = chance(), list(self.running)
        if at < 0.52:
            queues = [key for key, queue in self.queues.items() if queue]
            for sender, receiver in self.chance.sample(queues, min(len(queues), 4)):
                if self.queues[sender, receiver]:
                    self.deliver(sender, receiver)
        elif at < 0.80 and up:
            self.time += chance() * 0.02
            self.tick(self.chance.choice(up))
        elif at < 0.88 and up:
            member = self.chance.choice(up)
            self.do(member, lambda: self.write(member, revokes=chance() < 0.1))
        elif at < 0.90 and up:
            member = self.chance.choice(up)
            self.do(member, lambda: self.read(member))
        elif at < 0.915 and len(up) > 1:
            self.disconnect(*self.chance.sample(up, 2))
        elif at < 0.955 and len(up) > 1:
            self.connect(*self.chance.sample(up, 2))
        elif at < 0.965 and up:
            self.partition(self.chance.choice(up))
        elif at < 0.972:
            self.cut.clear()
            self.connect_all()
        elif at < 0.980 and up:
            if len(up) > len(self.disks) // 2 + 1 or chance() < 0.2:
                self.crash(self.chance.choice(up))
        elif at < 0.990:
            down = [member for member in self.disks if member not in self.running]
            if down:
                self.start(self.chance.choice(down))
        elif at < 0.993:
            self.change_members()
        elif up:
            self.running[self.chance.choice(up)].snapshot(lambda index: None)
            self.counts["snapshot"] += 1

    def partition(self, member: str) -> None:
        if self.chance.random() < 0.5:
            for other in self.disks:
                if other != member:
                    self.cut.add(self.link(member, other))
                    self.disconnect(member, other)
            self.counts["partition"] += 1
        else:
            self.cut.clear()

    def connect_all(self) -> None:
        for one in list(self.running):
            for other in list(self.running):
                self.connect(one, other)

    def change_members(self) -> None:
        """Ask a leader, if there is one, for one member more or less."""
        leading = [raft for raft in self.running.values() if raft.leading]
        if not leading:
            return
        raft = self.chance.choice(leading)
        if len(raft.members) > 3 and self.chance.random() < 0.5:
            kind, member = REMOVE, self.chance.choice(sorted(raft.others))
        else:
            kind, member = ADD, f"{len(self.disks)}/new"
            self.disks[member] = Disk(self.root, Identity("sim", member, self.first))
            self.start(member)
        raft.change(MemberChange(kind, member, "", 0), lambda done: None)
        self.counts[kind] += 1

    # In the end

    def heal(self) -> None:
        """Everything runs and is connected: soon all members are alike, and nothing is lost."""
        self.cut.clear()
        self.disorder = False
        for round in range(HEAL_ROUNDS):
            for member in self.disks:
                if member not in self.running:
                    self.start(member)
            self.connect_all()
            self.time += 0.01
            for member in list(self.running):
                self.tick(member)
            for sender, receiver in list(self.queues):
                for _ in range(len(self.queues[sender, receiver])):
                    if self.queues[sender, receiver]:
                        self.deliver(sender, receiver)
            if round > 150 and round % 25 == 0 and self.alike():
                break
        else:
            raise Broken(f"no convergence: {self.describe()}")
        for member in self.final():
            rows = self.disks[member].state.rows()
            lost = [id for id in self.acknowledged if b"row" + id not in rows]
            if lost:
                raise Broken(f"{len(lost)} acknowledged writes are not on {member}")

    def final(self) -> frozenset[str]:
        leading = [raft for raft in self.running.values() if raft.leading and raft.quorum]
        return leading[0].members if len(leading) == 1 else frozenset()

    def alike(self) -> bool:
        members = self.final()
        at = {self.running[member].applied for member in members if member in self.running}
        return bool(members) and members <= self.running.keys() and len(at) == 1

    def describe(self) -> str:
        return "; ".join(
            f"{member} {'L' if raft.leading else '-'} term {raft.term} {raft.applied} of "
            f"{raft.commit}, log to {raft.journal.last_index}, members {sorted(raft.members)}"
            f"{' installing' if raft.installing else ''}"
            for member, raft in self.running.items()
        )

    def close(self) -> None:
        for member in list(self.running):
            self.crash(member)


@contextmanager
def virtual_time(world_time: Callable[[], float]) -> Iterator[None]:
    clock, hashed = pysyncobj.syncobj.monotonicTime, pysyncobj.node.Node.__hash__
    pysyncobj.syncobj.monotonicTime = world_time
    pysyncobj.node.Node.__hash__ = lambda node: zlib.crc32(node.id.encode())  # sets keep an order
    try:
        yield
    finally:
        pysyncobj.syncobj.monotonicTime, pysyncobj.node.Node.__hash__ = clock, hashed


def run(seed: int, *, guarded: bool = True, steps: int = STEPS) -> World:
    """One run. Broken when an invariant does not hold; the text begins with the seed."""
    memory = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    before = random.getstate()
    random.seed(seed)  # PySyncObj's election timeouts
    world: World | None = None

    def now() -> float:
        return world.clock() if world is not None else 1000.0

    try:
        with virtual_time(now):
            world = World(seed, root, guarded=guarded)
            try:
                for _ in range(steps):
                    world.step()
                world.heal()
            except Broken as broken:
                raise Broken(f"seed {seed}: {broken}") from None
            finally:
                world.close()
            return world
    finally:
        random.setstate(before)
        shutil.rmtree(root)


def main(first: int, last: int, *, guarded: bool) -> None:
    """Run seeds, and say what broke and how much happened."""
    logging.disable(logging.CRITICAL)
    broken, counts = 0, Counter[str]()
    for seed in range(first, last):
        try:
            world = run(seed, guarded=guarded)
        except Broken as error:
            broken += 1
            print(error, flush=True)
            continue
        counts.update(world.counts)
        counts["acknowledged"] += len(world.acknowledged)
    print(f"{last - first} seeds, {broken} broken", dict(counts.most_common(40)))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), guarded="stock" not in sys.argv)
