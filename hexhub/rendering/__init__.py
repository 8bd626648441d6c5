"""Text of strangers made into HTML, in a process of its own that may be ended at any moment.

Markdown, highlighting and differences are worked out by libraries whose time on hostile input
nobody bounds, and a thread cannot be stopped. The process knows no secret and holds no data.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import msgspec.msgpack
import structlog

TIME_S = 4.0
"""Longest time for one piece of work, with the start of the process on top."""
START_S = 15.0
INPUT_MAX = 1_000_000
ANSWER_MAX = 16_000_000
WAITING_MAX = 64
MEMORY_MAX = 32 * 1024 * 1024

ROOT = str(Path(__file__).resolve().parents[2])


class TooMuch(Exception):
    """Work that was not done within its bounds."""


class Rendering:
    """The process, started when first needed, and what it answered lately."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._kept: OrderedDict[tuple[str, ...], Any] = OrderedDict()
        self._sizes: dict[tuple[str, ...], int] = {}
        self._size = 0

    async def work(self, key: tuple[str, ...], kind: str, **values: object) -> Any:
        """The answer to a piece of work; `key` names it among those kept.

        Raises TooMuch when it takes too long or asks for too much; that too is remembered.
        """
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._answer(self._kept[key])
        if self._waiting >= WAITING_MAX:
            raise TooMuch("too many pages are being drawn")
        self._waiting += 1
        try:
            async with self._turn:
                if key in self._kept:
                    return self._answer(self._kept[key])
                answer, size = await self._ask({"kind": kind, **values})
        finally:
            self._waiting -= 1
        self._keep(key, answer, size)
        return self._answer(answer)

    def _answer(self, answer: Any) -> Any:
        if answer is None:
            raise TooMuch("this takes too long to draw")
        return answer

    def _keep(self, key: tuple[str, ...], answer: Any, size: int) -> None:
        self._kept[key], self._sizes[key] = answer, size
        self._size += size
        while self._size > MEMORY_MAX:
            old, _ = self._kept.popitem(last=False)
            self._size -= self._sizes.pop(old)

    async def _ask(self, work: dict[str, object]) -> tuple[Any, int]:
        """Send a piece of work and read the answer; None for one that did not come in time."""
        request = msgspec.msgpack.encode(work)
        if len(request) > 4 * INPUT_MAX:
            return None, 100
        try:
            async with asyncio.timeout(START_S):
                process = await self._started()
            async with asyncio.timeout(TIME_S):
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(len(request).to_bytes(4, "big") + request)
                await process.stdin.drain()
                length = int.from_bytes(await process.stdout.readexactly(4), "big")
                if length > ANSWER_MAX:
                    raise ConnectionError
                body = await process.stdout.readexactly(length)
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            structlog.get_logger().warning("drawing given up", kind=str(work["kind"]))
            await self.close()
            return None, 100
        except BaseException:
            # Given up half-way: what comes next from this process would answer this question.
            await self.close()
            raise
        return msgspec.msgpack.decode(body), len(body)

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "hexhub.rendering.process",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                cwd="/",
                env={
                    "PATH": os.environ.get("PATH", ""),
                    "PYTHONPATH": ROOT,
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "LANG": "C.UTF-8",
                },
            )
            assert self._process.stdout is not None
            await self._process.stdout.readexactly(1)
        return self._process

    async def close(self) -> None:
        """End the process; the next piece of work starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(Exception):
            assert process.stdout is not None
            await process.stdout.read()
        await process.wait()
