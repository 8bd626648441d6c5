"""Processes of members, clients that ask them, and the history of what was answered."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tests.cluster.chaos.member import Settings
from tests.ports import free_port

ROOT = Path(__file__).parents[3]
ANSWER_SECONDS = 12.0
CLIENT_SECONDS = 3.0


class Silent(Exception):
    """The member did not answer; nobody knows what became of the question."""


class Refused(Exception):
    """The member answered that it did not do it."""


@dataclass
class Fleet:
    """Members of one cluster."""

    root: Path
    count: int = 3
    hosts: dict[str, str] = field(default_factory=dict)
    fronts: dict[str, str] = field(default_factory=dict)
    """Where others reach a member that is not reached at its host."""
    prefix: dict[str, list[str]] = field(default_factory=dict)
    program: dict[str, list[str]] = field(default_factory=dict)
    """What runs instead of a plain member."""
    snapshot_entries: int = 2000
    disk_reserve: int = 0
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _logs: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = [f"n{at}" for at in range(self.count)]
        self.ports = {name: free_port() for name in self.names}

    def start(self, name: str) -> None:
        """Start a member, always with the same command line."""
        hosts = {one: self.hosts.get(one, "127.0.0.1") for one in self.names}
        seen = {**hosts, **self.fronts}
        settings = Settings(
            name=name,
            directory=str(self.root / name),
            bind=(hosts[name], self.ports[name]),
            advertise=self.fronts.get(name, ""),
            dials_from=hosts[name] if self.fronts else "",
            peers=[(one, seen[one], self.ports[one]) for one in self.names],
            expect=self.count,
            snapshot_entries=self.snapshot_entries,
            disk_reserve=self.disk_reserve,
        )
        log = (self.root / f"{name}.log").open("ab")
        self._logs.append(log)
        self.running[name] = subprocess.Popen(
            [
                *self.prefix.get(name, []),
                sys.executable,
                "-m",
                *self.program.get(name, ["tests.cluster.chaos.member"]),
                msgspec.json.encode(settings).decode(),
            ],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )

    def add(self) -> str:
        """Start one more, which joins the others by itself."""
        name = f"n{len(self.ports)}"
        self.names.append(name)
        self.ports[name] = free_port()
        self.start(name)
        return name

    def wipe(self, name: str) -> None:
        """Kill it, and have it come back without its disk."""
        self.kill(name)
        shutil.rmtree(self.root / name)

    async def ended(self, name: str, seconds: float = 30.0) -> int:
        """The exit code of a member that ends by itself."""
        process = self.running[name]
        end = time.monotonic() + seconds
        while (code := process.poll()) is None:
            assert time.monotonic() < end, f"{name} goes on: {self.logs()}"
            await asyncio.sleep(0.05)
        self.kill(name)
        return code

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with suppress(FileNotFoundError):
            os.unlink(self.root / f"{name}.sock")

    def close(self) -> None:
        for name in list(self.running):
            self.kill(name)
        for log in self._logs:
            log.close()

    async def ask(self, name: str, *question: Any, seconds: float = ANSWER_SECONDS) -> Any:
        """One question to one member. Silent, Refused."""
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_unix_connection(
                    str(self.root / f"{name}.sock"), limit=64 << 20
                )
                try:
                    writer.write(msgspec.json.encode(question) + b"\n")
                    line = await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            if isinstance(error, ConnectionRefusedError | FileNotFoundError):
                raise Refused("nobody listens") from None
            raise Silent(repr(error)) from None
        if not line:
            raise Silent("it hung up")
        kind, value = msgspec.json.decode(line)
        if kind == "ok":
            return value
        raise Refused(value) if kind == "no" else Silent(value)

    async def leader(self, seconds: float = 30.0) -> str:
        """Who leads, once somebody does."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for name in list(self.running):
                with suppress(Silent, Refused):
                    status = await self.ask(name, "status", seconds=1.0)
                    if status["role"] == "leader" and status["quorum"]:
                        return name
            await asyncio.sleep(0.05)
        raise AssertionError(f"nobody leads after {seconds} s: {self.logs()}")

    async def knows(
        self, name: str, holds: Callable[[dict[str, Any]], bool], seconds: float = 30.0
    ) -> None:
        """Until what a member says of itself is so."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(Silent, Refused):
                if holds(await self.ask(name, "status", seconds=1.0)):
                    return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{name} is not so after {seconds} s: {self.logs()}")

    async def formed(self) -> None:
        """Until all are members of one cluster, and reach one another."""
        for name in self.names:
            if name not in self.running:
                self.start(name)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with suppress(Silent, Refused):
                seen = [await self.ask(name, "status", seconds=2.0) for name in self.names]
                if all(
                    len([m for m in one["members"] if m["reachable"]]) == len(self.names)
                    and len(one["members"]) == len(self.names)
                    and one["quorum"]
                    and one["role"] != "joining"
                    for one in seen
                ):
                    return
            await asyncio.sleep(0.1)
        raise AssertionError(f"no cluster after 60 s: {self.logs()}")

    async def alike(self, seconds: float = 30.0) -> int:
        """Start whoever is down; once all have applied the same, the index of it."""
        for name in self.names:
            if name not in self.running:
                self.start(name)
        end = time.monotonic() + seconds
        found: list[int] = []
        while time.monotonic() < end:
            with suppress(Silent, Refused):
                for name in self.names:
                    await self.ask(name, "read", "c", seconds=3.0)
                seen = [await self.ask(name, "status", seconds=2.0) for name in self.names]
                found = [one["applied"] for one in seen]
                if len(set(found)) == 1:
                    return found[0]
            await asyncio.sleep(0.1)
        raise AssertionError(f"not alike after {seconds} s: {found} {self.logs()}")

    def logs(self) -> str:
        lines = []
        for name in self.names:
            path = self.root / f"{name}.log"
            if path.exists():
                lines += [f"{name}: {line}" for line in path.read_text().splitlines()[-15:]]
        return "\n" + "\n".join(lines)


@dataclass
class Asked:
    """One question of a client, and between which moments it was answered."""

    kind: str
    title: str
    began: float
    ended: float = 0.0
    value: int | None = None
    refused: bool = False


class Clients:
    """Clients that count and read, each at one member after the other, and keep a history."""

    def __init__(self, fleet: Fleet, count: int, seed: int) -> None:
        self.fleet = fleet
        self.history: list[Asked] = []
        self.stopping = False
        self._seed = seed
        self._tasks = [asyncio.create_task(self._run(at)) for at in range(count)]
        self.acknowledged_at = time.monotonic()

    async def go_on(self, seconds: float = 20.0) -> None:
        """Until writes are acknowledged that began after this call."""
        now, end = time.monotonic(), time.monotonic() + seconds
        while not any(one.began > now for one in self.acknowledged):
            assert time.monotonic() < end, f"no write in {seconds} s: {self.fleet.logs()}"
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        self.stopping = True
        await asyncio.gather(*self._tasks)

    @property
    def acknowledged(self) -> list[Asked]:
        return [one for one in self.history if one.kind == "add" and one.value is not None]

    async def _run(self, at: int) -> None:
        chance = random.Random(self._seed * 100 + at)
        number = 0
        while not self.stopping:
            names = list(self.fleet.running)
            if not names:
                await asyncio.sleep(0.02)
                continue
            kind = "read" if chance.random() < 0.25 else "add"
            number += 1
            asked = Asked(kind, f"{at}-{number:06}", time.monotonic())
            self.history.append(asked)
            question = ("add", "c", "notes", asked.title) if kind == "add" else ("read", "c")
            try:
                name = chance.choice(names)
                asked.value = await self.fleet.ask(name, *question, seconds=CLIENT_SECONDS)
                if kind == "add":
                    self.acknowledged_at = time.monotonic()
            except Refused:
                asked.refused = True
                await asyncio.sleep(0.02)
            except Silent:
                await asyncio.sleep(0.02)
            asked.ended = time.monotonic()

    async def check(self) -> None:
        """Nothing lost, doubled or made up on any member, and every answer in its order in time."""
        await self.fleet.alike()
        for name in self.fleet.names:
            total, listed = await self.fleet.ask(name, "audit", "c", "notes")
            notes = dict(listed)
            assert sorted(map(int, notes.values())) == list(range(1, total + 1)), "not once each"
            for one in self.history:
                if one.kind != "add":
                    continue
                if one.value is not None:
                    assert notes.get(one.title) == str(one.value), f"{name} lost {one}"
                if one.refused:
                    assert one.title not in notes, f"{name} has what was refused: {one}"
        in_order(self.history)


def in_order(history: list[Asked]) -> None:
    """The counter is linearizable: what had been answered before is in every later answer."""
    answered = [one for one in history if one.value is not None]
    newest, ends = 0, sorted(answered, key=lambda one: one.ended)
    at = 0
    for one in sorted(answered, key=lambda one: one.began):
        while at < len(ends) and ends[at].ended < one.began:
            newest = max(newest, ends[at].value or 0)
            at += 1
        assert one.value is not None
        least = newest + 1 if one.kind == "add" else newest
        assert one.value >= least, f"{one} after {newest} had been answered"


@asynccontextmanager
async def fleet(root: Path, count: int = 3, **more: Any) -> AsyncIterator[Fleet]:
    """A formed cluster."""
    made = Fleet(root, count, **more)
    try:
        await made.formed()
        yield made
    finally:
        made.close()
