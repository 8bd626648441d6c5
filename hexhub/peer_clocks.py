"""How far the clocks of the members are apart, asked of each over the cluster port.

Nothing depends on it: the log does not read clocks. But links expire, backups are named and
certificates are judged by them, and whoever looks for a fault compares log lines of two nodes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from cluster import ClusterError, Member

if TYPE_CHECKING:
    from cluster.streams import FrameReader, FrameWriter, StreamPeer, Streams

SERVICE = "clock"
WAIT_S = 3.0

_moment = msgspec.msgpack.Decoder(float)


class PeerClocks:
    """Asks the others, and answers them. `now` is this node's clock."""

    def __init__(
        self,
        streams: Streams,
        me: str,
        members: Callable[[], Sequence[Member]],
        now: Callable[[], datetime],
    ) -> None:
        self._streams = streams
        self._me = me
        self._members = members
        self._now = now
        streams.serve(SERVICE, self._answer)

    async def ahead(self) -> dict[str, float | None]:
        """How many seconds each other member is ahead of this one; None: it does not answer."""
        names = [member.name for member in self._members() if member.name != self._me]
        return dict(zip(names, await asyncio.gather(*map(self._ask, names)), strict=True))

    async def _ask(self, name: str) -> float | None:
        try:
            async with asyncio.timeout(WAIT_S), self._streams.open(name, SERVICE) as stream:
                reader, writer = stream
                before = self._now().timestamp()
                await writer.write(b"")
                frame = await reader.read()
                after = self._now().timestamp()
            return _moment.decode(frame or b"") - (before + after) / 2
        except (OSError, TimeoutError, ClusterError, msgspec.DecodeError):
            return None

    async def _answer(self, peer: StreamPeer, reader: FrameReader, writer: FrameWriter) -> None:
        if await reader.read() is not None:
            await writer.write(msgspec.msgpack.encode(self._now().timestamp()))
