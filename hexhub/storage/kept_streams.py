"""Streams to other members that are used again: greeting one takes more than sending a small object."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from cluster import ClusterError

if TYPE_CHECKING:
    from cluster.streams import FrameReader, FrameWriter, Streams

T = TypeVar("T")

KEPT_MAX = 8
"""Idle streams to one member."""


@dataclass(frozen=True, slots=True)
class _Stream:
    reader: FrameReader
    writer: FrameWriter
    opened: AsyncExitStack


class KeptStreams:
    """Idle streams of one service, by member."""

    def __init__(self, streams: Streams, service: str) -> None:
        self._streams = streams
        self._service = service
        self._idle: dict[str, list[_Stream]] = {}
        self._closed = False

    async def talk(
        self, name: str, exchange: Callable[[FrameReader, FrameWriter], Awaitable[T]]
    ) -> T:
        """Exchange something with a member; the stream is kept when that raised nothing.

        It may happen twice, the second time on a new stream, when one that was kept has ended
        meanwhile. What the exchange raises passes on, and what opening a stream raises.
        """
        idle = self._idle.setdefault(name, [])
        if idle:
            try:
                return await self._use(name, idle.pop(), exchange)
            except (OSError, TimeoutError, ClusterError):
                await self._end(name)
        return await self._use(name, await self._open(name), exchange)

    async def _open(self, name: str) -> _Stream:
        async with AsyncExitStack() as stack:
            reader, writer = await stack.enter_async_context(
                self._streams.open(name, self._service)
            )
            return _Stream(reader, writer, stack.pop_all())

    async def _use(
        self,
        name: str,
        stream: _Stream,
        exchange: Callable[[FrameReader, FrameWriter], Awaitable[T]],
    ) -> T:
        keep = False
        try:
            result = await exchange(stream.reader, stream.writer)
            keep = not self._closed and len(self._idle[name]) < KEPT_MAX
            return result
        finally:
            if keep:
                self._idle[name].append(stream)
            else:
                await stream.opened.aclose()

    async def _end(self, name: str) -> None:
        """End what is kept to a member: one of them was dead."""
        idle, self._idle[name] = self._idle[name], []
        for stream in idle:
            await stream.opened.aclose()

    async def close(self) -> None:
        """End all, and keep none any more."""
        self._closed = True
        for name in self._idle:
            await self._end(name)
