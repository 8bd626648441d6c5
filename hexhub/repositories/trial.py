"""Asks the upstream now, past everything that is kept, and says what came and whether it is signed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from hexhub.domain import upstream_names
from hexhub.errors import HubError, NotFound, UpstreamWrong
from hexhub.formats import registry_chunks, signing_key
from hexhub.repositories import verification
from hexhub.repositories.believed import DOCUMENT_SIZE_MAX
from hexhub.repositories.upstream import Fetched, Site

if TYPE_CHECKING:
    from cluster import Store
    from hexhub.repositories.mirror import Mirror

TRIAL_S = 12.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One question to the upstream, and what came in words.

    `outcome`: `good`, `bad`, or `missing` where it answered that it has nothing there.
    """

    what: str
    address: str
    outcome: str
    said: str
    seconds: float
    size: int = 0


async def ask(mirror: Mirror, store: Store) -> list[Trial]:
    """The list of names and one package with their signatures, the API, the builds.

    A circuit that is open lets the first of them pass. A name is only asked for when it is in the
    upstream's own list and not one of ours.
    """
    mirror.upstream.circuit.try_now()
    names: list[str] = []

    async def listed(fetched: Fetched) -> str:
        entries = await mirror.believed.on_thread(lambda: _names(mirror, fetched))
        with store.view() as view:
            names.extend(
                name for name in list(entries)[:200] if not upstream_names.withheld(view, name)
            )
        return f"{len(entries):,} names, {_signed(mirror)}"

    async def package(fetched: Fetched) -> str:
        count = await mirror.believed.on_thread(lambda: _releases(mirror, fetched, names[0]))
        return f"{count:,} releases, {_signed(mirror)}"

    trials = [await _tried(mirror, "Names", "repo", "names", listed)]
    if names:
        path = f"packages/{names[0]}"
        trials.append(await _tried(mirror, "A package", "repo", path, package))
        trials.append(await _tried(mirror, "The API", "api", path, _document))
    trials.append(await _tried(mirror, "Builds of Hex", "builds", "installs/hex.csv", _builds))
    return trials


async def _tried(
    mirror: Mirror,
    what: str,
    site: Site,
    path: str,
    take: Callable[[Fetched], Awaitable[str]],
) -> Trial:
    address = f"{mirror.upstream.settings.urls[site]}/{path}"
    began, size = time.monotonic(), 0

    async def sized(fetched: Fetched) -> str:
        nonlocal size
        size = fetched.size
        return await take(fetched)

    outcome = "bad"
    accept = "application/json" if site == "api" else None
    size_max = verification.RESOURCE_SIZE_MAX if site == "repo" else DOCUMENT_SIZE_MAX
    try:
        async with asyncio.timeout(TRIAL_S):
            said = (
                await mirror.upstream.fetch(site, path, sized, size_max=size_max, accept=accept)
                or "nothing came"
            )
            outcome = "good"
    except TimeoutError:
        said = f"no answer within {TRIAL_S:.0f} seconds"
    except NotFound:
        outcome, said = "missing", "it answers, but has nothing at this address"
    except UpstreamWrong as error:
        said = f"not believed: {error}"
    except HubError as error:
        said = str(error)
    return Trial(what, address, outcome, said, time.monotonic() - began, size)


def _signed(mirror: Mirror) -> str:
    return f"signature verified with {signing_key.fingerprint(mirror.believed.public_key)}"


def _names(mirror: Mirror, fetched: Fetched) -> dict[str, bytes]:
    payload = verification.payload(fetched.read(), mirror.believed.public_key)
    repository, entries = registry_chunks.split(payload)
    verification.repository(repository)
    return entries


def _releases(mirror: Mirror, fetched: Fetched, name: str) -> int:
    payload = verification.payload(fetched.read(), mirror.believed.public_key)
    return len(verification.package(payload, name).releases)


async def _document(fetched: Fetched) -> str:
    try:
        msgspec.json.decode(fetched.read(), type=dict[str, object])
    except (msgspec.DecodeError, RecursionError):
        raise UpstreamWrong("not a document of the API") from None
    return "a document of the API, which is not signed"


async def _builds(fetched: Fetched) -> str:
    lines = fetched.read().count(b"\n")
    return f"a list of {lines:,} lines, which Mix verifies itself"
