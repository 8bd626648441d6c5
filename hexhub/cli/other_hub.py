"""Another Hex server as a source of packages: its signed registry, its tarballs, and its API.

Everything is bounded, asked again when it fails for a moment, and believed only as far as the
repository's public key vouches for it: names, versions, checksums and retirements are signed,
owners and docs are what the server says.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import aiohttp
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from yarl import URL

from hexhub import __version__
from hexhub.config.values import http_url
from hexhub.errors import Malformed
from hexhub.formats import envelope, registry, signing_key
from hexhub.formats.registry_values import RegistryPackage

TRIES = 4
WAIT_S = 1.0
WAIT_MAX_S = 30.0
CONNECT_S, SILENCE_S = 15.0, 60.0
RESOURCE_SIZE_MAX = 64 << 20
FILE_SIZE_MAX = 64 << 20
JSON_SIZE_MAX = 16 << 20
PEM_SIZE_MAX = 64 << 10
ABSENT = (403, 404, 410)
AGAIN = (408, 429, 500, 502, 503, 504)


class Away(Exception):
    """The server does not answer, or not with what was asked; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where things are: `repository` is the name that the registry must state.

    URLs have no slash at the end; `key` is the value of the Authorization header.
    """

    registry_url: str
    api_url: str
    repository: str
    organization: str | None
    key: str | None

    @property
    def tree(self) -> str:
        """What the registry's paths are below."""
        return _below(self.registry_url, self.organization)

    @property
    def api(self) -> str:
        """What the API's paths of packages are below."""
        return _below(self.api_url, self.organization)


def _below(url: str, organization: str | None) -> str:
    return f"{url}/repos/{_quoted(organization)}" if organization else url


def _quoted(text: str | None) -> str:
    return quote(text or "", safe="")


def checked_url(url: str, *, key: bool) -> str:
    """An address as it is used. Raises ValueError for one that is none, or would show a key."""
    url = http_url(url)
    parts = urlsplit(url)
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if key and parts.scheme != "https" and not local:
        raise ValueError("must be https: the key would cross the network in clear")
    return url


class OtherHub:
    """Asks another server. Raises Away when it cannot be had, Malformed when it is not to be believed."""

    def __init__(self, session: aiohttp.ClientSession, place: Place) -> None:
        self._session = session
        self.place = place
        self.key: RSAPublicKey | None = None

    async def trust(self, pem: bytes | None, fingerprint: str | None) -> str:
        """Take up this public key, or the one that the server shows; its fingerprint.

        Raises Malformed for one that is none, or has another fingerprint than was said.
        """
        if pem is None:
            pem = await self._get(f"{self.place.registry_url}/public_key", PEM_SIZE_MAX)
        if pem is None:
            raise Away("it has no public_key: give the file with --public-key")
        self.key = signing_key.load_public_key(pem)
        seen = signing_key.fingerprint(self.key)
        if fingerprint is not None and seen != fingerprint:
            raise Malformed(f"the public key is {seen}, not {fingerprint}")
        return seen

    async def names(self) -> list[str]:
        """Every package of the repository, as its key vouches for them."""
        payload = await self._signed("names")
        if payload is None:
            raise Away("there is no such repository, or the key may not read it")
        names = registry.decode_names(payload)
        self._same(names.repository)
        return [entry.name for entry in names.packages]

    async def package(self, name: str) -> RegistryPackage | None:
        """What the registry says of a package; None when it has none of that name."""
        payload = await self._signed(f"packages/{_quoted(name)}")
        if payload is None:
            return None
        package = registry.decode_package(payload)
        self._same(package.repository)
        if package.name != name:
            raise Malformed(f"the registry answers with {package.name}")
        return package

    async def tarball(self, name: str, version: str) -> bytes | None:
        """A release, byte for byte; not verified yet."""
        path = f"tarballs/{_quoted(name)}-{_quoted(version)}.tar"
        return await self._get(f"{self.place.tree}/{path}", FILE_SIZE_MAX)

    async def docs(self, name: str, version: str) -> bytes | None:
        """The documentation of a release; None when there is none."""
        path = f"docs/{_quoted(name)}-{_quoted(version)}.tar.gz"
        return await self._get(f"{self.place.tree}/{path}", FILE_SIZE_MAX)

    async def owners(self, name: str) -> list[tuple[str, str]] | None:
        """Who owns a package, with the level; None when the server does not tell."""
        body = await self._get(
            f"{self.place.api}/packages/{_quoted(name)}/owners", JSON_SIZE_MAX, refused=(401,)
        )
        if body is None:
            return None
        try:
            rows = json.loads(body)
        except (ValueError, RecursionError):
            return None
        if not isinstance(rows, list):
            return None
        return [
            (str(row["username"]), str(row.get("level") or "full"))
            for row in rows
            if isinstance(row, dict) and row.get("username")
        ]

    def _same(self, repository: str) -> None:
        if repository != self.place.repository:
            raise Malformed(
                f"the registry is that of {repository!r}, not of {self.place.repository!r}"
            )

    async def _signed(self, path: str) -> bytes | None:
        assert self.key is not None
        body = await self._get(f"{self.place.tree}/{path}", RESOURCE_SIZE_MAX)
        if body is None:
            return None
        return await asyncio.to_thread(envelope.unseal, body, self.key, size_max=RESOURCE_SIZE_MAX)

    async def _get(self, url: str, size_max: int, refused: tuple[int, ...] = ()) -> bytes | None:
        """A body; None when there is none. What fails for a moment is tried again."""
        headers = {"Accept": "application/json"} if size_max == JSON_SIZE_MAX else {}
        if self.place.key is not None:
            headers["Authorization"] = self.place.key
        reason = ""
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(min(WAIT_S * 2 ** (attempt - 1), WAIT_MAX_S))
            try:
                async with self._session.get(URL(url, encoded=True), headers=headers) as answer:
                    if answer.status == 200:
                        return await _bounded(answer, size_max)
                    if answer.status in (*ABSENT, *refused):
                        return None
                    reason = f"{answer.status} of {urlsplit(url).path}"
                    if answer.status not in AGAIN:
                        break
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                reason = str(error) or type(error).__name__
        raise Away(f"{urlsplit(url).netloc} does not answer: {reason}")


async def _bounded(answer: aiohttp.ClientResponse, size_max: int) -> bytes:
    body = bytearray()
    async for piece in answer.content.iter_chunked(1 << 16):
        body += piece
        if len(body) > size_max:
            raise Malformed(f"{answer.url.path} is more than {size_max} bytes")
    return bytes(body)


@asynccontextmanager
async def connected(place: Place, ca_file: Path | None) -> AsyncIterator[OtherHub]:
    """A server to ask; proxies are those of the environment."""
    context = ssl.create_default_context(cafile=ca_file)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=8, ssl=context),
        timeout=timeout,
        trust_env=True,
        # A registry resource is kept compressed: it is the file that is signed.
        auto_decompress=False,
        headers={"User-Agent": f"HexHub/{__version__} (import)"},
    ) as session:
        yield OtherHub(session, place)
