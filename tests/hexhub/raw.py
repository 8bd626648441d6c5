"""HTTP by hand: what a client library would tidy up before it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.hexhub.hubs import AGENT, Answer

WAIT_S = 20.0


@dataclass
class Wire:
    """One connection to a hub."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def head(self, method: str, target: str, **headers: str) -> None:
        """Send a request's head; header names as keywords, with underscores for dashes."""
        fields = {"host": "hub", "user-agent": AGENT} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
        self.send("\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n")

    async def answer(self, *, to: str = "GET") -> Answer:
        """The next response; one to a HEAD has no body."""
        async with asyncio.timeout(WAIT_S):
            status, headers = await self._head()
            length = int(headers.get("Content-Length", "0"))
            bare = to == "HEAD" or status in (100, 204, 304)
            body = b"" if bare else await self.reader.readexactly(length)
        return Answer(status, headers, body)

    async def _head(self) -> tuple[int, dict[str, str]]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = (line.partition(": ") for line in lines[1:] if line)
        return int(lines[0].split()[1]), {name: value for name, _, value in fields}

    async def silent(self, seconds: float = 0.15) -> bool:
        """Whether the hub says nothing for this long."""
        try:
            async with asyncio.timeout(seconds):
                return not await self.reader.read(1)
        except TimeoutError:
            return True

    async def closed(self) -> bool:
        """Whether the hub closes the connection, after whatever it still had to say."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self.reader.read()
        except ConnectionError:
            pass
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def wire(url: str) -> AsyncIterator[Wire]:
    """A connection to the hub at this address."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
