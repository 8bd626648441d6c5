"""The HTTP client to the upstream: few connections, bounded waits, retries, a circuit breaker.

No credentials ever go out: neither those of a client nor those of a `.netrc`. What comes in is
kept in memory or in a spooled file and is nobody's until the caller's `take` has verified it.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import ssl
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar
from urllib.parse import urlsplit

from aiohttp import (
    ClientConnectionError,
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    TCPConnector,
    TooManyRedirects,
)
from yarl import URL

from hexhub import tracing
from hexhub.errors import NotFound, TooLarge, Unreachable, UpstreamWrong
from hexhub.repositories.circuit import Circuit
from hexhub.storage import Spooled
from hexhub.storage.spool import Spool

T = TypeVar("T")
Site: TypeAlias = Literal["repo", "api", "builds"]

STALL_S = 15.0
"""Longest silence in the middle of an answer."""
DELAY_MAX_S = 30.0
PIECE = 256 * 1024
SMALL = 256 * 1024
"""Bytes of a body that is looked at in memory, before it is on the disk."""
GONE = frozenset({403, 404, 410})
"""Object stores answer 403 for a name that does not exist (mirror.md §2.6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSettings:
    """Where the upstream is and how patient to be; times in seconds."""

    urls: dict[Site, str]
    timeout_s: float = 30.0
    wait_s: float = 2.0
    """Longest wait for a connection."""
    retry_attempts: int = 3
    retry_delay_s: float = 1.0
    connections: int = 8
    ca_file: Path | None = None
    offline: bool = False
    paused: bool = False
    """Whether it is offline because an administrator said so, for now."""
    user_agent: str = "HexHub"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A body of the upstream, unverified: a small one in memory, a large one in a private file."""

    held: bytes | Spooled
    size: int
    checksum: bytes
    etag: str | None

    @classmethod
    def small(cls, body: bytes, etag: str | None) -> Fetched:
        return cls(body, len(body), hashlib.sha256(body).digest(), etag)

    @classmethod
    def large(cls, spooled: Spooled, etag: str | None) -> Fetched:
        return cls(spooled, spooled.size, spooled.checksum, etag)

    def read(self) -> bytes:
        """All of it; from the disk, for a large one."""
        return self.held if isinstance(self.held, bytes) else self.held.read()


class _Failed(Exception):
    """An attempt that may be worth another. `connecting`: no connection was made."""

    def __init__(self, text: str, *, connecting: bool = False, after_s: float | None = None):
        super().__init__(text)
        self.connecting = connecting
        self.after_s = after_s


class Upstream:
    def __init__(
        self, settings: UpstreamSettings, spool: Spool, now: Callable[[], datetime]
    ) -> None:
        self.settings = settings
        self.circuit = Circuit(now)
        self.results: Counter[str] = Counter()
        """Requests by outcome: `ok`, `not_modified`, `missing`, `failed`, `wrong`."""
        self.spool = spool
        self._now = now
        self._slots = asyncio.Semaphore(settings.connections)
        self._proxies = {site: proxy_for(url) for site, url in settings.urls.items()}
        self._session: ClientSession | None = None

    def adjust(self, settings: UpstreamSettings) -> None:
        """Go on with other settings; requests that are under way end with the old ones."""
        if settings.connections != self.settings.connections:
            self._slots = asyncio.Semaphore(settings.connections)
        self.settings = settings

    async def fetch(
        self,
        site: Site,
        path: str,
        take: Callable[[Fetched], Awaitable[T]],
        *,
        size_max: int,
        etag: str | None = None,
        accept: str | None = None,
    ) -> T | None:
        """What `take` makes of the body, or None when it is unchanged since `etag`.

        Raises NotFound, Unreachable, UpstreamWrong, and what `take` raises.
        """
        if self.settings.offline:
            why = "an administrator paused it" if self.settings.paused else "OFFLINE=true"
            raise Unreachable(f"this hub is offline by intention ({why})", 3600)
        headers = {"Accept": accept} if accept else {}
        if etag is not None:
            headers["If-None-Match"] = etag
        began = time.monotonic()
        attempt = 0
        while True:
            try:
                async with AsyncExitStack() as stack:
                    fetched = await self._attempt(site, path, stack, size_max, headers)
                    return await self._taken(fetched, take) if fetched else None
            except _Failed as failed:
                self.results["failed"] += 1
                pause = self._pause(attempt, failed, time.monotonic() - began)
                if pause is None:
                    if failed.connecting or failed.after_s is not None:
                        self.circuit.open(str(failed), failed.after_s)
                    raise Unreachable(
                        f"the upstream cannot be reached: {failed}",
                        self.circuit.again_in(failed.after_s or self.settings.retry_delay_s),
                    ) from None
            attempt += 1
            await asyncio.sleep(pause)

    def _pause(self, attempt: int, failed: _Failed, elapsed_s: float) -> float | None:
        """How long to wait before the next attempt; None to give up."""
        if attempt >= self.settings.retry_attempts:
            return None
        pause: float = self.settings.retry_delay_s * 2**attempt * random.uniform(0.5, 1.0)
        pause = min(pause, DELAY_MAX_S)
        if failed.after_s is not None:
            if failed.after_s > self.settings.wait_s:
                return None
            pause = max(pause, failed.after_s)
        # Where there is no network somebody waits for nothing: that must be known soon.
        if failed.connecting and elapsed_s + pause > self.settings.wait_s:
            return None
        return pause

    async def _taken(self, fetched: Fetched, take: Callable[[Fetched], Awaitable[T]]) -> T:
        try:
            return await take(fetched)
        except UpstreamWrong:
            self.results["wrong"] += 1
            raise

    async def _attempt(
        self,
        site: Site,
        path: str,
        stack: AsyncExitStack,
        size_max: int,
        headers: dict[str, str],
    ) -> Fetched | None:
        """What came, in a file that is there until the stack closes; None when it is unchanged."""
        async with self._slots:
            return await self._judged(site, path, stack, size_max, headers)

    async def _judged(
        self,
        site: Site,
        path: str,
        stack: AsyncExitStack,
        size_max: int,
        headers: dict[str, str],
    ) -> Fetched | None:
        """A request whose outcome the circuit and the sums hear of."""
        self.circuit.enter()
        try:
            with tracing.span(f"upstream {site}", tracing.CLIENT, {"url.path": path}):
                headers = headers | tracing.carried_outside()
                result = await self._request(site, path, stack, size_max, headers)
        except _Failed as failed:
            self.circuit.failed(str(failed))
            raise
        except (NotFound, UpstreamWrong) as error:
            self.results["missing" if isinstance(error, NotFound) else "wrong"] += 1
            self.circuit.succeeded()
            raise
        except BaseException:
            self.circuit.abandoned()
            raise
        self.circuit.succeeded()
        self.results["not_modified" if result is None else "ok"] += 1
        return result

    async def _request(
        self,
        site: Site,
        path: str,
        stack: AsyncExitStack,
        size_max: int,
        headers: dict[str, str],
    ) -> Fetched | None:
        url = f"{self.settings.urls[site]}/{path}"
        connect = min(max(self.settings.wait_s, 0.5), self.settings.timeout_s)
        try:
            async with self._open().get(
                URL(url, encoded=True),
                headers=headers,
                proxy=self._proxies[site],
                max_redirects=3,
                timeout=ClientTimeout(
                    total=self.settings.timeout_s,
                    connect=connect,
                    sock_connect=connect,
                    sock_read=min(STALL_S, self.settings.timeout_s),
                ),
            ) as response:
                if response.status == 304 and "If-None-Match" in headers:
                    return None
                self._check(response)
                etag = response.headers.get("ETag")
                small = await self._small(response, size_max)
                if len(small) <= SMALL and response.content.at_eof():
                    return Fetched.small(small, etag)
                body = self.spool.take(_pieces(response, small), size_max)
                return Fetched.large(await stack.enter_async_context(body), etag)
        except TooLarge:
            raise UpstreamWrong(f"the upstream sent more than {size_max} bytes") from None
        except (ClientConnectorError, ConnectionTimeoutError) as error:
            raise _Failed(_words(error), connecting=True) from None
        except TooManyRedirects:
            raise UpstreamWrong("the upstream redirects in circles") from None
        except (ClientConnectionError, ClientError, TimeoutError) as error:
            raise _Failed(_words(error)) from None

    async def _small(self, response: ClientResponse, size_max: int) -> bytes:
        """The body, or its first part when there is more of it. Raises TooLarge."""
        body = bytearray()
        while not response.content.at_eof() and len(body) <= SMALL:
            body += await response.content.readany()
            if len(body) > size_max:
                raise TooLarge
        return bytes(body)

    def _check(self, response: ClientResponse) -> None:
        """Raise unless the answer is a whole body."""
        status = response.status
        if status == 200:
            return
        if status in GONE:
            raise NotFound
        if status == 429 or status >= 500:
            raise _Failed(f"status {status}", after_s=self._retry_after(response))
        raise UpstreamWrong(f"the upstream answered with status {status}")

    def _retry_after(self, response: ClientResponse) -> float | None:
        text = response.headers.get("Retry-After", "").strip()
        if text.isascii() and text.isdigit():
            return float(text[:9])
        try:
            return max(0.0, (parsedate_to_datetime(text) - self._now()).total_seconds())
        except (ValueError, TypeError):
            return None

    def _open(self) -> ClientSession:
        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(
                    limit=0,  # the slots bound it, and their wait is no wait for a connection
                    ssl=self._trust(),
                    ttl_dns_cache=60,
                ),
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
                headers={
                    "User-Agent": self.settings.user_agent,
                    "Accept-Encoding": "identity",
                },
            )
        return self._session

    def _trust(self) -> ssl.SSLContext | bool:
        """Whose certificates are believed: those of the system, or of the configured file."""
        secured = any(url.startswith("https:") for url in self.settings.urls.values())
        if not secured:
            return True
        return ssl.create_default_context(cafile=self.settings.ca_file)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


async def _pieces(response: ClientResponse, first: bytes) -> AsyncIterator[bytes]:
    yield first
    async for piece in response.content.iter_chunked(PIECE):
        yield piece


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for an address (HTTPS_PROXY, HTTP_PROXY, NO_PROXY)."""
    parts = urlsplit(url)
    proxies = urllib.request.getproxies_environment()
    if urllib.request.proxy_bypass(parts.netloc):
        return None
    return proxies.get(parts.scheme) or proxies.get("all")


def _words(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
