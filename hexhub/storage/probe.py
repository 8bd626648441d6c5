"""Tries a storage out: writes a small object, reads it back, deletes it, and says how each went."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass

from cluster import ClusterError
from hexhub.errors import HubError
from hexhub.storage import Storage
from hexhub.storage.hybrid import HybridStorage
from hexhub.storage.spool import Spool

STEP_S = 20.0
SIZE = 1024
MARK = b"HexHub tries its storage. This object may be deleted.\n"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried; `wrong` says why it failed, None when it went well."""

    name: str
    seconds: float
    wrong: str | None = None


async def probe(storage: Storage, spool: Spool) -> list[Step]:
    """Write, read and delete an object of a kilobyte; ends with the first step that fails.

    Behind a cache it is the bucket that is tried. With several nodes a quorum takes the object, and
    each of the others sweeps its copy within a day or two.
    """
    real = storage.bucket if isinstance(storage, HybridStorage) else storage
    body = MARK + secrets.token_bytes(SIZE - len(MARK))
    steps: list[Step] = []
    try:
        async with spool.take(_whole(body), SIZE) as spooled:
            checksum = spooled.checksum
            if not await _tried(steps, "written", real.put(spooled)):
                return steps
    except (HubError, OSError) as error:
        return [Step("written", 0.0, _words(error))]
    await _tried(steps, "read back", _read(real, checksum, body))
    await _tried(steps, "deleted", real.erase(checksum))
    return steps


async def _read(storage: Storage, checksum: bytes, body: bytes) -> None:
    blob = await storage.open(checksum)
    if await blob.read() != body:
        raise HubError("other bytes came back than were written")


async def _tried(steps: list[Step], name: str, work: Awaitable[None]) -> bool:
    began = time.monotonic()
    wrong = None
    try:
        async with asyncio.timeout(STEP_S):
            await work
    except TimeoutError:
        wrong = f"no answer within {STEP_S:.0f} seconds"
    except (HubError, ClusterError, OSError) as error:
        wrong = _words(error)
    steps.append(Step(name, time.monotonic() - began, wrong))
    return wrong is None


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


async def _whole(body: bytes) -> AsyncIterator[bytes]:
    yield body
