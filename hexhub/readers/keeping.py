"""Keeps as many readers as are wanted: starts them, replaces those that end, and ends them."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import suppress
from itertools import count

import structlog

from hexhub.http.hot_path import Kept
from hexhub.readers import messages
from hexhub.readers.lending import About, Lent, memory_of
from hexhub.readers.messages import Drain

BYTES_MAX = 32 * 1024 * 1024
"""What one reader keeps of answers."""
LEASE_EVERY_S = 0.1
ASKED_S = 1.0
"""How long a scrape waits for what readers have counted."""
STARTED_S = 20.0
AGAIN_S = 0.2
AGAIN_MAX_S = 5.0
ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LANG", "LC_ALL", "TZ")
"""What a reader sees of the environment."""
STEADY_S = 10.0
"""A reader that lived for so long is started again at once."""


class Readers:
    """All reader processes of a node; one that ends is replaced."""

    def __init__(self, about: About, number: int) -> None:
        self.restarts = 0
        self._about = about
        self._number = number
        self._lent: list[Lent] = []
        self._keeping: list[asyncio.Task[None]] = []
        self._numbers = count(1)
        self._answered_before = 0
        self._log = structlog.get_logger()

    async def start(self) -> None:
        """Start them, and return when all accept connections."""
        self._lend()
        started = [await self._start() for _ in range(self._number)]
        async with asyncio.timeout(STARTED_S):
            for lent in started:
                await lent.ready.wait()
        self._keeping = [asyncio.create_task(self._keep(lent)) for lent in started]
        self._keeping.append(asyncio.create_task(self._lease()))
        self._about.server.learnt(self._learnt)
        self._about.server.readers = self

    @property
    def running(self) -> int:
        return len(self._lent)

    @property
    def pids(self) -> list[int]:
        return [lent.process.pid for lent in self._lent]

    @property
    def answered(self) -> int:
        """Requests that readers have answered."""
        return self._answered_before + sum(lent.answered for lent in self._lent)

    @property
    def connections(self) -> int:
        return sum(lent.connections for lent in self._lent)

    async def collect(self) -> None:
        """Have what readers have counted added to what is counted here; bounded in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ASKED_S):
                for lent in list(self._lent):
                    await lent.ask(next(self._numbers))

    def renew(self) -> None:
        """Put a new process in the place of each, without losing a connection."""
        for lent in list(self._lent):
            if lent in self._lent and not lent.draining:
                lent.draining = True
                lent.say(Drain())

    async def drain(self, seconds: float) -> None:
        """Have all connections back, and the processes ended; in this time, or by force."""
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        self._keeping = []
        self._about.marks.lend(0)
        lent, self._lent = self._lent, []
        for each in lent:
            each.draining = True
            each.say(Drain())
        waiting = [asyncio.create_task(each.process.wait()) for each in lent]
        if waiting:
            await asyncio.wait(waiting, timeout=seconds)
        for each in lent:
            if each.process.returncode is None:
                with suppress(ProcessLookupError):
                    each.process.kill()
                await each.process.wait()
            each._hear()  # what was said last
            self._answered_before += each.answered
            each.close()
        self._about.server.learnt(None)

    async def _start(self) -> Lent:
        ours, theirs = messages.pair()
        given = (theirs.fileno(), self._about.listener.fileno(), self._about.marks.fd)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "hexhub.readers.process",
                *map(str, given),
                pass_fds=given,
                stdin=asyncio.subprocess.DEVNULL,
                env=_environment(),
            )
        lent = Lent(self._about, ours, process)
        lent.tell_rules()
        self._lent.append(lent)
        return lent

    async def _keep(self, lent: Lent) -> None:
        """Put another in its place, whenever it ends."""
        again_s = AGAIN_S
        while True:
            began = time.monotonic()
            status = await lent.process.wait()
            lent._hear()
            self._lent.remove(lent)
            self._answered_before += lent.answered
            lent.close()
            if not lent.draining:
                self.restarts += 1
                self._log.warning("a reader ended", pid=lent.process.pid, status=status)
                steady = time.monotonic() - began > STEADY_S
                again_s = AGAIN_S if steady else min(again_s * 2, AGAIN_MAX_S)
                await asyncio.sleep(again_s)
            lent = await self._start_surely()

    async def _start_surely(self) -> Lent:
        while True:
            try:
                return await self._start()
            except OSError as error:
                self._log.error("a reader cannot be started", reason=str(error))
                await asyncio.sleep(AGAIN_MAX_S)

    async def _lease(self) -> None:
        """Let readers answer reads with credentials for as long as this process may."""
        while True:
            self._lend()
            for lent in self._lent:
                lent.tell_rules()
            await asyncio.sleep(LEASE_EVERY_S)

    def _lend(self) -> None:
        self._about.marks.lend(self._about.lease_s())

    def _learnt(self, kept: Kept, body: bytes) -> None:
        with memory_of(body) as memory:
            for lent in self._lent:
                lent.learn(kept, body, memory)


def _environment() -> dict[str, str]:
    """No settings, and so no secrets."""
    return {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
