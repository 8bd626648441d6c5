"""Members that come and go, torn and full disks, wrong clocks, all under load: nothing is lost."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from cluster.files import free_bytes
from tests.cluster.chaos.fleet import Clients, Fleet, Refused, Silent, fleet

pytestmark = pytest.mark.long

CHANGES = 30
DISK_BYTES = 64 << 20
EXIT_FATAL = 70


async def asked(members: Fleet, *question: str) -> None:
    """Have some member do it, whoever can: changes wait for a leader, and for one another."""
    for _ in range(50):
        for name in list(members.running):
            with suppress(Silent, Refused):
                await members.ask(name, *question)
                return
        await asyncio.sleep(0.1)
    raise AssertionError(f"nobody does {question}: {members.logs()}")


async def comes(members: Fleet, chance: random.Random) -> None:
    """One more member, killed once while it copies."""
    name = members.add()
    if chance.random() < 0.5:
        await asyncio.sleep(chance.uniform(0.2, 1.0))
        members.kill(name)
        members.start(name)


async def goes(members: Fleet, name: str) -> None:
    await asked(members, "remove", name)
    members.names.remove(name)
    members.wipe(name)


async def changes(members: Fleet, chance: random.Random) -> str:
    """One change of the members, or of who leads; what it was."""
    leader = await members.leader()
    follower = chance.choice([one for one in members.names if one != leader])
    match chance.choice(["comes", "follower goes", "leader goes", "hands over", "is wiped"]):
        case "comes" if len(members.names) < 5:
            await comes(members, chance)
            return "comes"
        case "follower goes" if len(members.names) > 3:
            await goes(members, follower)
            return "follower goes"
        case "leader goes" if len(members.names) > 3:
            await goes(members, leader)
            return "leader goes"
        case "is wiped":
            await asked(members, "remove", follower)
            members.wipe(follower)
            members.start(follower)
            return "is wiped"
        case _:
            with suppress(Silent, Refused):  # it may lead no more by now
                await members.ask(leader, "transfer", follower)
            return "hands over"


@pytest.mark.parametrize("seed", [1, 2])
async def test_members_come_and_go_under_load(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    done: dict[str, int] = {}
    async with fleet(tmp_path, 3, snapshot_entries=300) as members:
        clients = Clients(members, 6, seed)
        for _ in range(CHANGES):
            await clients.go_on()
            kind = await changes(members, chance)
            done[kind] = done.get(kind, 0) + 1
            await members.formed()
        await clients.go_on()
        await clients.stop()
        await clients.check()
        print(f"{done}: {len(clients.acknowledged)} writes")
    assert set(done) == {"comes", "follower goes", "leader goes", "hands over", "is wiped"}


def tear_journal(data: Path) -> None:
    """The newest page of the tree and its copy end in zeros."""
    file = data / "raft" / "data.mdb"
    content = file.read_bytes()
    file.write_bytes(content[:4096] + b"\0" * 4096 + content[8192 : len(content) // 2])


def tear_snapshot(data: Path) -> None:
    """Half of the snapshot is there, and the rows that could do without it are not."""
    [copy] = (data / "snapshots").glob("*.mdb")
    os.truncate(copy, copy.stat().st_size // 2)
    current = (data / "state" / "CURRENT").read_text()
    (data / "state" / current / "data.mdb").unlink()


@pytest.mark.parametrize("tear", [tear_journal, tear_snapshot])
async def test_a_member_with_a_torn_disk_does_not_start_and_is_replaced(
    tmp_path: Path, tear: Callable[[Path], None]
) -> None:
    async with fleet(tmp_path, 3, snapshot_entries=100) as members:
        clients = Clients(members, 4, 6)
        for _ in range(3):
            await clients.go_on()
            for name in members.names:
                await members.ask(name, "snapshot")
        leader = await members.leader()
        torn = next(one for one in members.names if one != leader)
        members.kill(torn)
        tear(tmp_path / torn)
        members.start(torn)
        assert await members.ended(torn) != 0
        said = (tmp_path / f"{torn}.log").read_text()
        assert "Damaged" in said
        assert "have it join anew with an empty directory" in said
        await clients.go_on()
        await asked(members, "remove", torn)
        members.start(torn)
        assert await members.ended(torn) != 0, "it starts wrongly after all"
        members.start(torn)
        members.wipe(torn)
        await members.formed()
        await clients.go_on()
        await clients.stop()
        await clients.check()


@contextmanager
def small_disk(path: Path) -> Iterator[bool]:
    """A file system of its own for a member, when this process may mount one."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(path)]
    mounted = os.geteuid() == 0 and not subprocess.run(mount, capture_output=True).returncode
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(path)], check=True)


def ballast(path: Path, left: int) -> None:
    """Fill the disk but for so many bytes."""
    with (path / "ballast").open("ab", buffering=0) as file, suppress(OSError):
        while (free := free_bytes(path) - left) > 0:
            file.write(b"\0" * min(free, 1 << 20))


async def test_a_full_disk_stops_one_member_and_nobody_else(tmp_path: Path) -> None:
    """A file system of 64 MB; where none may be mounted, a limit to what a file may grow to."""
    with small_disk(tmp_path / "n0") as mounted:
        async with fleet(tmp_path, 3, disk_reserve=16 << 20 if mounted else 0) as members:
            await asked(members, "transfer", "n1")
            clients = Clients(members, 4, 7)
            await clients.go_on()
            if mounted:
                ballast(tmp_path / "n0", 8 << 20)
                with pytest.raises(Refused, match="DiskFull"):
                    await members.ask("n0", "add", "c", "notes", "no room")
                await clients.go_on()
                before = await members.ask("n0", "local", "c")
                await clients.go_on()
                assert await members.ask("n0", "local", "c") > before, "it applies what others do"
                ballast(tmp_path / "n0", 0)
            else:
                limit = (tmp_path / "n0" / "raft" / "data.mdb").stat().st_size
                resource.prlimit(members.running["n0"].pid, resource.RLIMIT_FSIZE, (limit, limit))
            await filled(members, "n0")
            await clients.go_on()
            if mounted:
                (tmp_path / "n0" / "ballast").unlink()
            members.start("n0")
            await members.formed()
            await clients.go_on()
            await clients.stop()
            await clients.check()


async def filled(members: Fleet, name: str) -> None:
    """Write what no disk of this size holds, until the member ends for want of room."""
    number = 0
    while members.running[name].poll() is None:
        number += 1
        with suppress(Silent, Refused):
            await members.ask("n1", "fill", "big", str(number), 400_000, seconds=5.0)
        assert number < 1000, f"{name} never ends: {members.logs()}"
    assert await members.ended(name) == EXIT_FATAL


async def test_what_is_revoked_is_revoked_whatever_the_clocks_say(tmp_path: Path) -> None:
    """Two members run 8 % apart in rate, within the margin; their times of day jump by a day."""
    members = Fleet(tmp_path, 3)
    for name, rate in (("n0", "1.04"), ("n1", "0.96")):
        members.program[name] = ["tests.cluster.chaos.skewed", rate]
    try:
        await members.formed()
        clients = Clients(members, 4, 8)
        await clients.go_on()
        let_in: list[str] = []
        for number in range(20):
            leader = await members.leader()
            other = next(one for one in members.names if one != leader)
            stopped = number % 2 == 0
            if stopped:
                members.running[other].send_signal(signal.SIGSTOP)
            title = f"key {number}"
            await until_revoked(members, leader, title)
            if stopped:
                members.running[other].send_signal(signal.SIGCONT)
            let_in += [name for name in members.names if await lets_in(members, name, title)]
        assert let_in == []
        await clients.stop()
        await clients.check()
    finally:
        members.close()


async def until_revoked(members: Fleet, name: str, title: str) -> None:
    for _ in range(20):
        with suppress(Silent, Refused):
            await members.ask(name, "revoke", "revoked", title)
            return
    raise AssertionError(f"{name} revokes nothing: {members.logs()}")


async def lets_in(members: Fleet, name: str, title: str) -> bool:
    with suppress(Silent, Refused):
        return bool(await members.ask(name, "lets in", "revoked", title))
    return False
