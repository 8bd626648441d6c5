"""The main process's side: starts readers, tells them what holds, and trades connections with them."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

import structlog

from hexhub.http.gate import CurrentGate
from hexhub.http.hot_path import Answer, Body, Kept
from hexhub.http.server import Handed, HttpServer
from hexhub.http.tallies import Tallies
from hexhub.marks import Marks
from hexhub.readers import messages
from hexhub.readers.messages import Ask, Back, Begin, Drain, Learnt, Over, Ready, Rules, Told

BYTES_MAX = 32 * 1024 * 1024
"""What one reader keeps of answers."""
OUTBOX_MAX = 1024
"""Messages that wait for a reader; it then misses answers, and asks for them when it needs them."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What readers share with the main process. `lease_s`: how long reads with credentials may be
    answered from now on; `hits`: takes what was fetched; `log_level`: asked each time."""

    listener: socket.socket
    marks: Marks
    gate: CurrentGate
    server: HttpServer
    tallies: Tallies
    hits: Callable[[Mapping[tuple[str, ...], int]], None]
    lease_s: Callable[[], float]
    log_level: Callable[[], str]
    begin: Begin


class Lent:
    """One reader process."""

    def __init__(self, about: About, channel: socket.socket, process: asyncio.subprocess.Process):
        self.process = process
        self.answered = self.connections = 0
        self.ready = asyncio.Event()
        self.draining = False
        self.answers: dict[int, asyncio.Event] = {}
        self._about = about
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._outbox: deque[tuple[bytes, int]] = deque()
        self._writing = False
        self._joining: set[asyncio.Task[None]] = set()
        self._rules: Rules | None = None
        self._loop.add_reader(channel.fileno(), self._hear)
        self.say(about.begin)

    def say(self, message: messages.ToReader, fd: int = -1) -> None:
        """Have a message sent; the descriptor is closed here afterwards."""
        self._outbox.append((messages.encode(message), fd))
        if not self._writing:
            self._post()

    def tell_rules(self) -> None:
        """Say what holds now, if it has not been said."""
        rules = Rules(self._about.gate().rules, self._about.log_level())
        if rules != self._rules:
            self._rules = rules
            self.say(rules)

    def learn(self, kept: Kept, body: Body, memory: int = -1) -> None:
        """Have an answer kept; a large one in `memory`, a descriptor that is the caller's."""
        if self.draining or len(self._outbox) >= OUTBOX_MAX:
            return
        if memory >= 0:
            self.say(Learnt(kept, b"", len(body)), os.dup(memory))
        else:
            self.say(Learnt(kept, bytes(body)))

    def give_back(self, fd: int, peer: str, answer: Answer) -> bool:
        """Lender.give_back: pass a connection on; the descriptor stays the caller's."""
        if self.draining or self._outbox or self._channel.fileno() < 0:
            return False
        self.tell_rules()
        with _memory(answer.body) as memory:
            self.learn(answer.kept, answer.body, memory)
        if self._outbox:
            return False
        try:
            return messages.send(self._channel, messages.encode(Back(peer)), [fd])
        except OSError:
            return False

    def _post(self) -> None:
        while self._outbox:
            data, fd = self._outbox[0]
            try:
                sent = messages.send(self._channel, data, [fd] if fd >= 0 else [])
            except OSError:
                self._give_up()
                return
            if not sent:
                if not self._writing:
                    self._writing = True
                    self._loop.add_writer(self._channel.fileno(), self._post)
                return
            self._outbox.popleft()
            if fd >= 0:
                os.close(fd)
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._channel.fileno())

    def _give_up(self) -> None:
        """Nobody is there: what was to be said is not."""
        while self._outbox:
            fd = self._outbox.popleft()[1]
            if fd >= 0:
                os.close(fd)
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._channel.fileno())

    def _hear(self) -> None:
        while True:
            try:
                data, fds = messages.receive(self._channel)
            except BlockingIOError:
                return
            except OSError:
                data, fds = b"", []
            if not data:
                self._loop.remove_reader(self._channel.fileno())
                return
            self._take(messages.from_reader.decode(data), fds)

    def _take(self, message: messages.FromReader, fds: list[int]) -> None:
        match message:
            case Over() if fds:
                task = self._loop.create_task(self._join(message, socket.socket(fileno=fds.pop())))
                self._joining.add(task)
                task.add_done_callback(self._joining.discard)
            case Told():
                self._about.tallies.merge(message.sums)
                self._about.hits(message.sums.hits)
                self.answered, self.connections = message.answered, message.connections
                if (asked := self.answers.pop(message.number, None)) is not None:
                    asked.set()
            case Ready():
                self.ready.set()
        for fd in fds:
            os.close(fd)

    async def _join(self, over: Over, sock: socket.socket) -> None:
        """Go on with a connection where the reader stopped."""
        handed = Handed(over.data, over.waited_s, self)
        sock.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._about.server.handed(handed), sock
            )
        except OSError:
            sock.close()

    async def ask(self, number: int) -> None:
        """Return when everything that was counted until now is told."""
        self.answers[number] = event = asyncio.Event()
        self.say(Ask(number))
        await event.wait()

    def close(self) -> None:
        self._give_up()
        self._loop.remove_reader(self._channel.fileno())
        self._channel.close()
        for event in self.answers.values():
            event.set()


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
        with _memory(body) as memory:
            for lent in self._lent:
                lent.learn(kept, body, memory)


class _memory:
    """A descriptor of memory with these bytes; -1 for few, which go inside the message."""

    def __init__(self, body: Body) -> None:
        self._fd = -1
        if len(body) > messages.BODY_MAX:
            self._fd = os.memfd_create("hexhub-answer", os.MFD_CLOEXEC)
            with open(self._fd, "wb", closefd=False) as file:
                file.write(body)

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def _environment() -> dict[str, str]:
    """No settings, and so no secrets."""
    return {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
