"""The main process's side of one reader: tells it what holds, and trades connections with it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hexhub.http.gate import CurrentGate
from hexhub.http.hot_path import Answer, Body, Kept
from hexhub.http.server import Handed, HttpServer
from hexhub.http.tallies import Tallies
from hexhub.marks import Marks
from hexhub.readers import messages
from hexhub.readers.messages import Ask, Back, Begin, Learnt, Over, Ready, Rules, Told

OUTBOX_MAX = 1024
"""Messages that wait for a reader; it then misses answers, and asks for them when it needs them."""


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
        with memory_of(answer.body) as memory:
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


class memory_of:
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
