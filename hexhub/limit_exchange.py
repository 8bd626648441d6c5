"""Members tell one another their counts of the running minute, so that limits hold for the cluster.

A client that stays with one node meets exactly the stated limit; one that goes from node to node
has at most what it can send in the second that a count takes to arrive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from cluster import ClusterError
from hexhub.limits import Limits, Told

if TYPE_CHECKING:
    from cluster import Member
    from cluster.streams import FrameReader, FrameWriter, StreamPeer, Streams

SERVICE = "limits"
TELL_EVERY_S = 1.0
SILENT_S = 30.0
"""A member that says nothing for so long is not listened to any more."""

_told = msgspec.msgpack.Decoder(Told)


class LimitExchange:
    def __init__(
        self, streams: Streams, me: str, members: Callable[[], Sequence[Member]], limits: Limits
    ) -> None:
        self._streams = streams
        self._me = me
        self._members = members
        self._limits = limits
        self._telling: dict[str, asyncio.Task[None]] = {}
        streams.serve(SERVICE, self._listen)

    async def run(self) -> None:
        """Keep one stream to every reachable member."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                others = {
                    member.name
                    for member in self._members()
                    if member.reachable and member.name != self._me
                }
                for name in self._telling.keys() - others:
                    self._telling.pop(name).cancel()
                for name in others:
                    task = self._telling.get(name)
                    if task is None or task.done():
                        self._telling[name] = loop.create_task(self._tell(name))
                await asyncio.sleep(TELL_EVERY_S)
        finally:
            tasks = list(self._telling.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _tell(self, member: str) -> None:
        with suppress(OSError, TimeoutError, ClusterError):
            async with self._streams.open(member, SERVICE) as (_, writer):
                while True:
                    await writer.write(msgspec.msgpack.encode(self._limits.told()))
                    await asyncio.sleep(TELL_EVERY_S)

    async def _listen(self, peer: StreamPeer, reader: FrameReader, writer: FrameWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(SILENT_S):
                    frame = await reader.read()
                if frame is None:
                    return
                self._limits.heard(peer.name, _told.decode(frame))
        except (TimeoutError, msgspec.DecodeError):
            return
