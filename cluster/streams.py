"""The listening socket of a member, and named streams of frames between members.

Streams run on the event loop and on connections of their own, so that whatever they carry never
delays the log. A connection that asks for `raft` is handed over whole.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from cluster import links
from cluster.errors import LinkRefused
from cluster.links import Address, Hello, Link

log = logging.getLogger(__name__)

FRAME_BYTES_MAX: Final = 1 << 20
GREETING_MAX: Final = 64
"""Connections that have not proved themselves yet; more wait in the kernel."""
BACKLOG: Final = 128
RAFT: Final = "raft"

StreamPeer = Hello


class FrameReader:
    """The frames the other end writes."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def read(self) -> bytes | None:
        """The next frame, None when the other end is done. ConnectionError, LinkRefused."""
        return await self._link.read(FRAME_BYTES_MAX)


class FrameWriter:
    """Frames to the other end."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = asyncio.Lock()

    async def write(self, content: bytes) -> None:
        """Send a frame of at most 1 MiB; waits while the other end is behind."""
        if len(content) > FRAME_BYTES_MAX:
            raise ValueError(f"a frame of {len(content)} bytes, more than {FRAME_BYTES_MAX}")
        async with self._lock:
            await self._link.write(content)


Handler = Callable[[StreamPeer, FrameReader, FrameWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Served:
    """Who answers a stream; `open` when the peer need not be a member."""

    handler: Handler
    open: bool


class Streams:
    """Everything that comes in on the cluster port and goes out to those of other members."""

    def __init__(
        self,
        secret: bytes,
        *,
        hello: Callable[[], Hello],
        refuses: Callable[[Hello], tuple[str, bool]],
        resolve: Callable[[str], Address | None],
        on_raft: Callable[[Link], None],
    ) -> None:
        """`hello` says who this node is, `refuses` why a Hello is not a member's ("" when it is;
        and whether that is because it was removed), `resolve` where a member of that name or id
        listens, `on_raft` takes over a connection for the log.
        """
        self._key = links.key_of(secret)
        self._hello = hello
        self._refuses = refuses
        self._resolve = resolve
        self._on_raft = on_raft
        self._served: dict[str, Served] = {}
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._greeting = asyncio.Semaphore(GREETING_MAX)

    def serve(self, name: str, handler: Handler, *, open: bool = False) -> None:
        """Answer the stream `name` with `handler`, for members (anyone with the secret: `open`).

        The stream ends when the handler returns; what it raises is logged.
        """
        self._served[name] = Served(handler, open)

    @asynccontextmanager
    async def open(
        self, target: str | Address, name: str
    ) -> AsyncIterator[tuple[FrameReader, FrameWriter]]:
        """A stream to a member (by name or id) or an address; ends with the block.

        OSError or TimeoutError when it cannot be reached, LinkRefused when it will not.
        """
        async with self.meet(target, name) as (_, reader, writer):
            yield reader, writer

    @asynccontextmanager
    async def meet(
        self, target: str | Address, name: str
    ) -> AsyncIterator[tuple[Hello, FrameReader, FrameWriter]]:
        """`open`, and who answered."""
        link = await self.dial(target, name)
        try:
            yield link.peer, FrameReader(link), FrameWriter(link)
        finally:
            link.close()

    async def dial(self, target: str | Address, service: str) -> Link:
        """A greeted connection for a service, to be closed by the caller."""
        address = self._resolve(target) if isinstance(target, str) else target
        if address is None:
            raise LinkRefused(f"no member is called {target}")
        return await links.dial(address, self._key, replace(self._hello(), service=service))

    async def listen(self, bind: Address) -> Address:
        """Take connections from here on; where, for port 0 means any. OSError."""
        loop = asyncio.get_running_loop()
        family, kind, proto, _, where = (
            await loop.getaddrinfo(*bind, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        )[0]
        listener = socket.socket(family, kind, proto)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setblocking(False)
            listener.bind(where)
            listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
        self._listener = listener
        self._spawn(self._accept(listener))
        host, port = listener.getsockname()[:2]
        return str(host), int(port)

    async def close(self) -> None:
        """Take no more connections and end all streams."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._greeting.acquire()
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:  # no descriptors left, most likely
                self._greeting.release()
                log.warning("no connection can be taken: %s", error)
                await asyncio.sleep(0.1)
                continue
            except BaseException:
                self._greeting.release()
                raise
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._spawn(self._answer(connection))

    async def _answer(self, connection: socket.socket) -> None:
        try:
            link = await links.greeted(connection, self._key)
            refused, removed, served = self._judge(link.peer)
            own = replace(self._hello(), refused=refused, removed=removed)
            await links.welcome(link, own)
        except (LinkRefused, OSError, TimeoutError) as error:
            log.info("a connection was refused: %s", error)
            connection.close()
            return
        except BaseException:
            connection.close()
            raise
        finally:
            self._greeting.release()
        if refused:
            log.info("%s was refused: %s", link.peer.name, refused)
            link.close()
        elif served is None:
            self._on_raft(link)
        else:
            await self._run(served.handler, link)

    def _judge(self, peer: Hello) -> tuple[str, bool, Served | None]:
        served = self._served.get(peer.service)
        if served is None and peer.service != RAFT:
            return f"this node serves no {peer.service}", False, None
        refused, removed = ("", False) if served and served.open else self._refuses(peer)
        return refused, removed, served

    async def _run(self, handler: Handler, link: Link) -> None:
        try:
            await handler(link.peer, FrameReader(link), FrameWriter(link))
        except (LinkRefused, OSError, TimeoutError) as error:
            log.info("the stream %s to %s ended: %s", link.peer.service, link.peer.name, error)
        except Exception:
            log.exception("the stream %s to %s", link.peer.service, link.peer.name)
        finally:
            with suppress(OSError):
                link.socket.shutdown(socket.SHUT_WR)
            link.close()
