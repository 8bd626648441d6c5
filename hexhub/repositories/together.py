"""One request to the upstream for a whole cluster: each package has a member that asks for all.

Which member that is follows from the names of those that can be reached, so no two need to agree
on anything. When it does not answer, whoever needs the file asks the upstream itself: this saves
requests, and nothing depends on it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import structlog

from cluster import ClusterError, Member
from hexhub import tracing
from hexhub.errors import HubError, NotFound
from hexhub.schema import Kept

if TYPE_CHECKING:
    from cluster.streams import FrameReader, FrameWriter, StreamPeer, Streams

SERVICE = "mirror"
WAIT_S = 10.0
SHARED = ("names", "versions", "packages/", "tarballs/", "docs/", "installs/")
"""Paths of which one member asks for all; others are asked for by whoever needs them."""

ASKED_BY_PEER: ContextVar[bool] = ContextVar("asked_by_peer", default=False)
"""Whether this runs for another member, who must not be asked in turn."""


class Ask(msgspec.Struct, frozen=True):
    path: str
    newer_than: datetime | None
    carried: dict[str, str] = {}
    """What names the request that this is done for."""


class Vouched(msgspec.Struct, frozen=True):
    """A copy in the storage of the member that answers, and when the upstream vouched for it."""

    row: Kept
    checked_at: datetime


class Answer(msgspec.Struct, frozen=True):
    """Neither `vouched` nor `missing`: it could not be had, ask yourself."""

    vouched: Vouched | None = None
    missing: bool = False


Get: TypeAlias = Callable[[str, datetime | None], Awaitable[Vouched]]
"""Have this node get a file from the upstream itself."""

_ask = msgspec.msgpack.Decoder(Ask)
_answer = msgspec.msgpack.Decoder(Answer)
_encode = msgspec.msgpack.Encoder().encode


class Together:
    def __init__(
        self, streams: Streams, me: str, members: Callable[[], Sequence[Member]], get: Get
    ) -> None:
        self._streams = streams
        self._me = me
        self._members = members
        self._get = get
        streams.serve(SERVICE, self._serve)

    async def fetch(self, path: str, newer_than: datetime | None) -> Vouched | None:
        """What the member for this path got; None: ask the upstream here. Raises NotFound."""
        if ASKED_BY_PEER.get() or not path.startswith(SHARED):
            return None
        member = self._member_for(path)
        if member == self._me:
            return None
        try:
            async with asyncio.timeout(WAIT_S), self._streams.open(member, SERVICE) as stream:
                reader, writer = stream
                await writer.write(_encode(Ask(path, newer_than, tracing.carried())))
                frame = await reader.read()
            answer = _answer.decode(frame or b"")
        except (OSError, TimeoutError, ClusterError, msgspec.DecodeError):
            return None
        if answer.missing:
            raise NotFound
        return answer.vouched

    def _member_for(self, path: str) -> str:
        """The reachable member that asks for a path: the same for all files of a package."""
        subject = path.rpartition("/")[2].partition("-")[0] if "/" in path else path

        def rank(name: str) -> bytes:
            return hashlib.sha256(f"{name} {subject}".encode()).digest()

        names = [member.name for member in self._members() if member.reachable]
        return max(names, key=rank, default=self._me)

    async def _serve(self, peer: StreamPeer, reader: FrameReader, writer: FrameWriter) -> None:
        frame = await reader.read()
        try:
            ask = _ask.decode(frame or b"")
        except msgspec.DecodeError:
            return
        ASKED_BY_PEER.set(True)
        with tracing.adopted(ask.carried, "file for a peer"):
            if tracing.request_id():
                structlog.get_logger().info("a peer asks", peer=peer.name, path=ask.path)
            answer = await self._answer(ask)
        await writer.write(_encode(answer))

    async def _answer(self, ask: Ask) -> Answer:
        try:
            return Answer(vouched=await self._get(ask.path, ask.newer_than))
        except NotFound:
            return Answer(missing=True)
        except (HubError, ClusterError, TimeoutError):
            return Answer()
