"""Two hubs: one that plays the upstream with a key of its own, one that mirrors it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from hexhub.formats import signing_key
from tests.end_to_end.packages import tarball
from tests.hexhub import faults, hubs
from tests.hexhub.faults import Faults
from tests.hexhub.hubs import Person, TestHub


@dataclass(frozen=True)
class Pair:
    """A mirror, its upstream, what stands between them, and a publisher at each."""

    upstream: TestHub
    between: Faults
    hub: TestHub
    author: Person
    """At the upstream."""
    mara: Person
    """At the mirror."""
    key_file: Path

    async def publish(
        self, name: str, version: str, files: dict[str, bytes] | None = None
    ) -> bytes:
        """Publish at the upstream; the bytes of the tarball."""
        body = tarball(name, version, files or {"README.md": f"{name} {version}".encode()})
        answer = await self.author.publish(body)
        assert answer.status in (200, 201), answer.body
        return body

    async def get(self, path: str, **headers: str) -> hubs.Answer:
        """Ask the mirror, as anybody."""
        return await self.hub.nobody.get(path, **headers)


@asynccontextmanager
async def mirroring(
    folder: Path, keys: tuple[Path, Path], *, hot: bool = False, **settings: str
) -> AsyncIterator[Pair]:
    """A mirror with these settings; impatient, so that tests need not be patient.

    Without `hot` each answer is made anew, by the clock that the test moves.
    """
    async with (
        hubs.running(folder / "upstream", signing_key_file=str(keys[0])) as upstream,
        faults.between(upstream.url) as between,
        hubs.running(
            folder / "hub",
            face="hot" if hot else "cold",
            **mirror_settings(between, keys) | settings,
        ) as hub,
    ):
        author = await upstream.user("author")
        mara = await hub.user("mara")
        yield Pair(upstream, between, hub, author, mara, keys[1])


def mirror_settings(between: Faults, keys: tuple[Path, Path]) -> dict[str, Any]:
    return {
        "upstream_enabled": "true",
        "upstream_url": between.url,
        "upstream_repo_url": between.url,
        "upstream_api_url": between.url + "/api",
        "upstream_builds_url": between.url,
        "upstream_public_key_file": str(keys[1]),
        "upstream_retry_delay": "1",
        "hexhub_upstream_wait": "1000",
    }


def make_keys(folder: Path) -> tuple[Path, Path]:
    """Files of a new private and public key in a folder."""
    key = rsa.generate_private_key(65537, 2048)
    private, public = folder / "private.pem", folder / "public.pem"
    private.write_bytes(signing_key.private_key_pem(key))
    public.write_bytes(signing_key.public_key_pem(key))
    return private, public
