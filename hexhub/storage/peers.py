"""Objects on several nodes: a quorum holds one before anything points to it, the others fetch it.

Nodes exchange objects over a stream of the cluster port, each checked by its SHA-256 on arrival:

    asks   Get(checksum)          answered by the size, -1 when it is not here, and the pieces
    gives  Put(checksum, size)    answered `have` or `send`; then the pieces, and `kept` or `full`

A small object comes with its Put; who knows nothing of that answers `send` and gets it again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import msgspec
import structlog

from cluster import ClusterError, Member, NoQuorum
from hexhub import tracing
from hexhub.errors import HubError, Malformed, NotFound, StorageFull, Unavailable
from hexhub.storage import Spooled
from hexhub.storage.kept_streams import KeptStreams
from hexhub.storage.local import Damaged, LocalBlob, LocalStorage
from hexhub.storage.spool import Spool

if TYPE_CHECKING:
    from cluster.links import Hello
    from cluster.streams import FrameReader, FrameWriter, Streams

T = TypeVar("T")

SERVICE = "objects"
PIECE = 512 * 1024
SIZE_MAX = 1 << 30
STEP_S = 4.0
"""How long another node may keep us waiting for its next word."""
EARLY_READ_S = 7.0
"""How long a read waits for an object that is on its way from another node."""

HAVE, SEND, KEPT, FULL = b"have", b"send", b"kept", b"full"


class Get(msgspec.Struct, frozen=True, tag=True):
    """Asks for an object."""

    checksum: bytes
    carried: dict[str, str] = {}
    """What names the request that this is done for."""


class Put(msgspec.Struct, frozen=True, tag=True):
    """Offers an object of `size` bytes; a small one comes with it."""

    checksum: bytes
    size: int
    carried: dict[str, str] = {}
    data: bytes = b""


_request: msgspec.msgpack.Decoder[Get | Put] = msgspec.msgpack.Decoder(Get | Put)
_size = msgspec.msgpack.Decoder(int)


Members: TypeAlias = Callable[[], Sequence[Member]]
"""The members as this node sees them, itself included."""


class PeerStorage:
    """A node's own objects, and those of its peers behind them."""

    def __init__(
        self, local: LocalStorage, spool: Spool, streams: Streams, me: str, members: Members
    ) -> None:
        self._local = local
        self._spool = spool
        self._streams = streams
        self._me = me
        self._members = members
        self._fetching: dict[bytes, asyncio.Task[None]] = {}
        self._sending: set[asyncio.Task[bool]] = set()
        self._serving: set[asyncio.Task[object]] = set()
        self._closed = False
        self.wanted: dict[bytes, None] = {}
        """Objects that the tables point to and that are still to be fetched."""
        self._log = structlog.get_logger()
        self._kept = KeptStreams(streams, SERVICE)
        streams.serve(SERVICE, self._serve)

    @property
    def damaged(self) -> int:
        return self._local.damaged

    @property
    def repaired(self) -> int:
        return self._local.repaired

    @property
    def behind(self) -> int:
        return len(self.wanted)

    # writing

    async def put(self, spooled: Spooled) -> None:
        """Keep a file here and on enough members that any minority of disks may be lost.

        Raises NoQuorum when too few members take it, StorageFull when one of them has no room.
        """
        if spooled.data is None:
            await self._local.put(spooled)
        voters = [member for member in self._members() if member.role != "joining"]
        others = [member.name for member in voters if member.name != self._me]
        needed = len(voters) // 2
        sends = {asyncio.create_task(self._send(name, spooled)) for name in others}
        self._sending |= sends
        for send in sends:
            send.add_done_callback(self._sending.discard)
        if spooled.data is not None:  # a small one is written here while it is sent
            await self._local.put(spooled)
        full: StorageFull | None = None
        # Those that are slower than the quorum go on behind the caller's back.
        while needed > 0 and sends:
            done, sends = await asyncio.wait(sends, return_when=asyncio.FIRST_COMPLETED)
            for send in done:
                try:
                    needed -= send.result()
                except StorageFull as error:
                    full = error
        if needed > 0 and full is not None:
            raise full
        if needed > 0:
            raise NoQuorum("too few members could take the object; nothing was changed")

    async def keep(self, spooled: Spooled) -> None:
        """Keep a file that can be had again from elsewhere: here now, at the peers later."""
        await self._local.put(spooled)

    async def _send(self, name: str, spooled: Spooled) -> bool:
        """Whether that member now holds the object durably. Raises StorageFull."""

        async def offered(reader: FrameReader, writer: FrameWriter) -> bytes:
            data = spooled.data or b""
            offer = Put(spooled.checksum, spooled.size, tracing.carried(), data)
            await _soon(writer.write(msgspec.msgpack.encode(offer)))
            answer = await _soon(reader.read())
            if answer == SEND:
                if spooled.data is None:
                    await _pour(await self._local.open(spooled.checksum), writer)
                elif data:  # of an empty one there is nothing to send, nor perhaps a file yet
                    await _soon(writer.write(data))
                answer = await _soon(reader.read())
            if answer not in (HAVE, KEPT, FULL):
                raise ConnectionResetError("the member hung up")
            return answer

        try:
            answer = await self._kept.talk(name, offered)
        except (OSError, TimeoutError, ClusterError, NotFound, Damaged) as error:
            self._log.info("object not sent", member=name, reason=_words(error))
            return False
        if answer == FULL:
            raise StorageFull(f"{name} has no space left to store this")
        return True

    # reading

    async def open(self, checksum: bytes) -> LocalBlob:
        """An object; one that is missing or damaged here is first fetched from a peer."""
        try:
            return await self._local.open(checksum)
        except (NotFound, Damaged) as error:
            if not self._others():
                raise
            await self._early(checksum, error)
            if isinstance(error, Damaged):
                self._log.warning("a damaged object was repaired", object=checksum.hex())
        return await self._local.open(checksum)

    async def _early(self, checksum: bytes, error: HubError) -> None:
        try:
            async with asyncio.timeout(EARLY_READ_S):
                await asyncio.shield(self._fetch_once(checksum))
        except NotFound:
            raise error from None
        except TimeoutError:
            raise Unavailable("this object is on its way from another node") from None

    async def fetch(self, checksum: bytes) -> None:
        """Bring an object here from any peer. Raises NotFound when none has it, StorageFull."""
        await asyncio.shield(self._fetch_once(checksum))

    def _fetch_once(self, checksum: bytes) -> asyncio.Task[None]:
        """One fetch of an object at a time, whoever asks for it."""
        task = self._fetching.get(checksum)
        if task is None:
            task = asyncio.create_task(self._fetch(checksum))
            self._fetching[checksum] = task
            task.add_done_callback(lambda done: self._fetched(checksum, done))
        return task

    def _fetched(self, checksum: bytes, task: asyncio.Task[None]) -> None:
        self._fetching.pop(checksum, None)
        if not task.cancelled():
            task.exception()  # whoever asked may be gone

    async def _fetch(self, checksum: bytes) -> None:
        others = self._others()
        random.shuffle(others)
        for name in others:
            try:
                if await self._fetch_from(name, checksum):
                    return
            except (OSError, TimeoutError, ClusterError, Malformed) as error:
                self._log.info("object not fetched", member=name, reason=_words(error))
        raise NotFound("no node that answers has this object")

    async def _fetch_from(self, name: str, checksum: bytes) -> bool:
        async with self._streams.open(name, SERVICE) as (reader, writer):
            asked = Get(checksum, tracing.carried())
            await _soon(writer.write(msgspec.msgpack.encode(asked)))
            size = _decoded(_size, await _soon(reader.read()))
            if not 0 <= size <= SIZE_MAX:
                return False
            async with self._spool.take(_pieces(reader, size), size) as spooled:
                if spooled.checksum != checksum:
                    raise Malformed("what came is another object")
                await self._local.put(spooled)
        return True

    async def missing(self, checksums: Iterable[bytes]) -> list[bytes]:
        """Which of these are not here."""
        return await self._local.missing(checksums)

    def names(self) -> AsyncIterator[tuple[bytes, int, datetime]]:
        """As of this node's own."""
        return self._local.names()

    async def redirect(self, checksum: bytes) -> str | None:
        return None

    # sweeping

    async def sweep(self, keep: Iterable[bytes], *, older_than_s: float, applied: int = 0) -> int:
        """Delete what is not to be kept, unless some member may still point to it.

        `applied` is the log index at which `keep` was read. While a member is away, or has not
        come that far, nothing is deleted.
        """
        if any(not member.reachable or member.applied < applied for member in self._members()):
            return 0
        return await self._local.sweep(keep, older_than_s=older_than_s)

    async def erase(self, checksum: bytes) -> None:
        """Of this member: each one erases what it holds."""
        await self._local.erase(checksum)

    async def writable(self) -> bool:
        return await self._local.writable()

    async def close(self) -> None:
        self._closed = True
        tasks = [*self._sending, *self._fetching.values(), *self._serving]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._kept.close()
        await self._local.close()

    # answering peers

    async def _serve(self, peer: Hello, reader: FrameReader, writer: FrameWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            greeted = True
            while not self._closed and (frame := await reader.read()) is not None:
                if not greeted and not self._is_member(peer.name):
                    return  # it was when it greeted us
                greeted = False
                request = _decoded(_request, frame)
                with tracing.adopted(request.carried, "object for a peer"):
                    self._note(peer.name, request)
                    if isinstance(request, Get):
                        await self._give(request, writer)
                    else:
                        await self._take(request, reader, writer)
        except HubError as error:
            self._log.warning("a peer was not answered", peer=peer.name, reason=_words(error))
        finally:
            self._serving.discard(task)

    def _note(self, peer: str, request: Get | Put) -> None:
        """Of what is done for a client's request there is a line on both nodes."""
        if tracing.request_id():
            event = "a peer asks" if isinstance(request, Get) else "a peer gives"
            self._log.info(event, peer=peer, object=request.checksum.hex())

    def _is_member(self, name: str) -> bool:
        return any(member.name == name for member in self._members())

    async def _give(self, request: Get, writer: FrameWriter) -> None:
        try:
            blob = await self._local.open(request.checksum)
        except (NotFound, Damaged):
            await _soon(writer.write(msgspec.msgpack.encode(-1)))
            return
        await _soon(writer.write(msgspec.msgpack.encode(blob.size)))
        await _pour(blob, writer)

    async def _take(self, request: Put, reader: FrameReader, writer: FrameWriter) -> None:
        if not 0 <= request.size <= SIZE_MAX or len(request.checksum) != 32:
            raise Malformed(f"an object of {request.size} bytes")
        if request.data:
            await self._take_whole(request, writer)
            return
        if await self._local.renew(request.checksum, request.size):
            await _soon(writer.write(HAVE))
            return
        await _soon(writer.write(SEND))
        pieces = _pieces(reader, request.size)
        try:
            async with self._spool.take(pieces, request.size) as spooled:
                if spooled.checksum != request.checksum:
                    raise Malformed("what came is another object")
                await self._local.put(spooled)
        except StorageFull:
            async for _ in pieces:  # the answer is read only behind the last piece
                pass
            await _soon(writer.write(FULL))
            return
        self.wanted.pop(request.checksum, None)
        await _soon(writer.write(KEPT))

    async def _take_whole(self, request: Put, writer: FrameWriter) -> None:
        """A small object that came with its offer."""
        spooled = self._spool.small(request.data)
        if spooled.checksum != request.checksum or spooled.size != request.size:
            raise Malformed("what came is another object")
        try:
            await self._local.put(spooled)
        except StorageFull:
            await _soon(writer.write(FULL))
            return
        self.wanted.pop(request.checksum, None)
        await _soon(writer.write(KEPT))

    def _others(self) -> list[str]:
        return [m.name for m in self._members() if m.name != self._me and m.reachable]


async def _pour(blob: LocalBlob, writer: FrameWriter) -> None:
    async for chunk in blob.chunks(0, blob.size):
        for start in range(0, len(chunk), PIECE):
            await _soon(writer.write(chunk[start : start + PIECE]))


async def _pieces(reader: FrameReader, size: int) -> AsyncGenerator[bytes, None]:
    """What comes, until it is `size` bytes. Raises Malformed when it ends before, or goes on."""
    while size > 0:
        piece = await _soon(reader.read())
        if not piece or len(piece) > size:
            raise Malformed("an object that is not as long as was said")
        size -= len(piece)
        yield piece


async def _soon(step: Awaitable[T]) -> T:
    async with asyncio.timeout(STEP_S):
        return await step


def _decoded(decoder: msgspec.msgpack.Decoder[T], frame: bytes | None) -> T:
    try:
        return decoder.decode(frame or b"")
    except msgspec.MsgspecError as error:
        raise Malformed(str(error)) from None


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
