"""Pictures of other hosts for READMEs: fetched by the hub, so that a reader's browser asks nobody else.

Whose address is fetched was written by a stranger. So only public addresses are connected to, and
the one that was looked at is the one that is used; few bytes, little time, and only what is a
picture comes back. No credentials and no cookies go out.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import re
import socket
import ssl
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from hexhub.errors import NotFound
from hexhub.repositories.upstream import proxy_for

SIZE_MAX = 2_000_000
ADDRESS_MAX = 2_000
TIME_S = 8.0
CONNECT_S = 3.0
REDIRECTS_MAX = 3
AT_ONCE = 4
WAITING_MAX = 64
MEMORY_MAX = 16 * 1024 * 1024
GOOD_FOR = timedelta(hours=1)
ANEW_AFTER_FAILURE = timedelta(minutes=5)
PORTS = (80, 443)

SIGNATURES = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "image/avif": re.compile(rb"....ftypavi[fs]", re.DOTALL),
    "image/svg+xml": re.compile(rb"\s*(?:<\?xml|<!--|<!DOCTYPE svg|<svg)", re.IGNORECASE),
}
"""How a file of each type begins; what is declared as one and begins otherwise is refused."""
ACTIVE = re.compile(rb"<script|<foreignObject|<iframe|\son\w+\s*=|javascript:", re.IGNORECASE)
"""What a drawing may do without."""


EMBEDDING = tuple(
    ipaddress.IPv6Network(each)
    for each in (
        "::/96",
        "::ffff:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2001::/32",
        "2002::/16",
    )
)
"""IPv6 addresses that stand for an IPv4 address."""


class _Refused(Exception):
    """An address that is not asked, or an answer that is no picture."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, its media type, and its ETag (quoted)."""

    body: bytes
    content_type: str
    etag: str


@dataclass(frozen=True, slots=True)
class _Kept:
    picture: Picture | None
    until: datetime


class PublicAddresses(AbstractResolver):
    """Looks names up, and finds nothing but addresses of the public network."""

    def __init__(self, allowed: Callable[[str], bool]) -> None:
        self._allowed = allowed
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        public = [each for each in found if self._allowed(each["host"])]
        if not public:
            raise OSError(f"{host} is no public address")
        return public

    async def close(self) -> None:
        await self._resolver.close()


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public network, and hides no other."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and any(found in each for each in EMBEDDING):
        return False
    return found.is_global and not found.is_multicast


class Pictures:
    """The fetcher of a node and what it holds in memory. `enabled`: whether it asks at all."""

    def __init__(
        self,
        now: Callable[[], datetime],
        *,
        enabled: bool,
        user_agent: str,
        ca_file: Path | None = None,
        allowed: Callable[[str], bool] = is_public,
        ports: tuple[int, ...] = PORTS,
    ) -> None:
        self.enabled = enabled
        self._now = now
        self._user_agent = user_agent
        self._ca_file = ca_file
        self._allowed = allowed
        self._ports = ports
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._size = 0
        self._fetching: dict[str, asyncio.Task[Picture | None]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._sessions: dict[bool, ClientSession] = {}

    async def get(self, address: str) -> Picture:
        """The picture at an address. Raises NotFound for one that is not to be had."""
        kept = self._kept.get(address)
        if kept is None or kept.until <= self._now():
            picture = await self._fetched(address, kept.picture if kept else None)
        else:
            self._kept.move_to_end(address)
            picture = kept.picture
        if picture is None:
            raise NotFound("This picture cannot be fetched.")
        return picture

    async def _fetched(self, address: str, known: Picture | None) -> Picture | None:
        """A picture that is fetched once for all who ask; the known one when that fails."""
        if not self.enabled:
            return known
        task = self._fetching.get(address)
        if task is None:
            if len(self._fetching) >= WAITING_MAX:
                return known
            task = asyncio.get_running_loop().create_task(self._fetch(address))
            self._fetching[address] = task
            task.add_done_callback(lambda _: self._fetching.pop(address))
        found = await asyncio.shield(task)
        good_for = GOOD_FOR if found else ANEW_AFTER_FAILURE
        found = found or known
        self._keep(address, _Kept(found, self._now() + good_for))
        return found

    def _keep(self, address: str, kept: _Kept) -> None:
        before = self._kept.pop(address, None)
        self._size += _weight(kept) - (_weight(before) if before else 0)
        self._kept[address] = kept
        while self._size > MEMORY_MAX:
            _, oldest = self._kept.popitem(last=False)
            self._size -= _weight(oldest)

    async def _fetch(self, address: str) -> Picture | None:
        try:
            async with self._slots, asyncio.timeout(TIME_S):
                url = URL(address)
                for _ in range(REDIRECTS_MAX + 1):
                    self._check(url)
                    found = await self._ask(url)
                    if isinstance(found, Picture):
                        return found
                    url = url.join(found)
        except (_Refused, ClientError, OSError, ValueError):
            # A timeout is an OSError too. Whoever wrote the address learns nothing of what it met.
            return None
        return None

    def _check(self, url: URL) -> None:
        """Raise _Refused for an address that a stranger has no business to send us to."""
        host = url.host or ""
        literal = host.strip("[]")
        fine = (
            len(str(url)) <= ADDRESS_MAX
            and url.scheme in ("http", "https")
            and url.user is None
            and url.password is None
            and url.port in self._ports
            and bool(host)
        )
        # The resolver does not see a host that is an address already, in whatever spelling.
        if ":" in literal or literal.rpartition(".")[2][:1] in "0123456789":
            fine = fine and self._allowed(literal)
        if not fine:
            raise _Refused

    async def _ask(self, url: URL) -> Picture | URL:
        """What is at an address: a picture, or where it is. Raises _Refused, ClientError."""
        proxy = proxy_for(str(url))
        if proxy is not None:
            await self._look(url)
        session = self._session(proxied=proxy is not None)
        async with session.get(url, allow_redirects=False, proxy=proxy) as response:
            if response.status in (301, 302, 303, 307, 308):
                return URL(response.headers.get("Location", ""))
            if response.status != 200:
                raise _Refused
            return await _picture(response)

    async def _look(self, url: URL) -> None:
        """Raise _Refused for a name of this network; one that only the proxy knows is the proxy's."""
        resolver = ThreadedResolver()
        with contextlib.suppress(socket.gaierror):
            found = await resolver.resolve(url.host or "", url.port or 0, socket.AF_UNSPEC)
            if not all(self._allowed(each["host"]) for each in found):
                raise _Refused

    def _session(self, *, proxied: bool) -> ClientSession:
        """Connections that go to public addresses only, or to the proxy wherever it is."""
        if proxied not in self._sessions:
            resolver = None if proxied else PublicAddresses(self._allowed)
            context = ssl.create_default_context(cafile=self._ca_file)
            self._sessions[proxied] = ClientSession(
                connector=TCPConnector(limit=AT_ONCE, resolver=resolver, ssl=context),
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
                timeout=ClientTimeout(total=TIME_S, sock_connect=CONNECT_S),
                headers={
                    "User-Agent": self._user_agent,
                    "Accept": "image/*",
                    "Accept-Encoding": "identity",
                },
            )
        return self._sessions[proxied]

    async def close(self) -> None:
        for task in self._fetching.values():
            task.cancel()
        for session in self._sessions.values():
            await session.close()


async def _picture(response: ClientResponse) -> Picture:
    signature = SIGNATURES.get(response.content_type)
    if signature is None or "Content-Encoding" in response.headers:
        raise _Refused
    body = bytearray()
    async for piece in response.content.iter_chunked(64 * 1024):
        body += piece
        if len(body) > SIZE_MAX:
            raise _Refused
    found = bytes(body)
    drawing = response.content_type == "image/svg+xml"
    if not signature.match(found) or (drawing and ACTIVE.search(found)):
        raise _Refused
    etag = f'"{hashlib.sha256(found).hexdigest()[:32]}"'
    return Picture(found, response.content_type, etag)


def _weight(kept: _Kept) -> int:
    return 500 + (len(kept.picture.body) if kept.picture else 0)
