"""Objects of what was removed are erased."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from hexhub.domain import removals
from hexhub.domain.audit import OPERATOR
from hexhub.eraser import Eraser
from hexhub.errors import NotFound
from hexhub.schema import Release
from tests.end_to_end.packages import tarball
from tests.hexhub.hubs import Person, TestHub

TARBALL = tarball("acorn", "1.0.0", {"src/a.erl": b"-module(a).\n"})


async def published(hub: TestHub, mara: Person, repository: str | None = None) -> bytes:
    """The checksum of a tarball that was published."""
    assert (await mara.publish(TARBALL, repository=repository)).status == 201
    with hub.hub.store.view() as view:
        release = view.get(Release, repository or "hexpm", "acorn", "1.0.0")
    assert release is not None
    return release.outer_checksum


async def remove(hub: TestHub) -> None:
    await hub.hub.store.transact(
        removals.remove_package, OPERATOR, "hexpm", "acorn", "malware", hub.hub.now()
    )


async def test_a_removed_tarball_is_erased(hub: TestHub, mara: Person) -> None:
    checksum = await published(hub, mara)
    eraser = Eraser(hub.hub.store, hub.hub.storage)
    assert await eraser.erase_removed() == 0

    await remove(hub)

    assert await eraser.erase_removed() == 1
    with pytest.raises(NotFound):
        await hub.hub.storage.open(checksum)
    assert await eraser.erase_removed() == 0
    assert await Eraser(hub.hub.store, hub.hub.storage).erase_removed() == 1, "after a restart"


async def test_what_something_else_points_to_is_kept(hub: TestHub, mara: Person) -> None:
    await hub.organization("forest", mara)
    checksum = await published(hub, mara)
    assert await published(hub, mara, "forest") == checksum

    await remove(hub)

    assert await Eraser(hub.hub.store, hub.hub.storage).erase_removed() == 0
    assert (await mara.get("/repos/forest/tarballs/acorn-1.0.0.tar")).status == 200


async def test_a_running_eraser_hears_of_a_removal(hub: TestHub, mara: Person) -> None:
    checksum = await published(hub, mara)
    erased = asyncio.Event()
    erase = hub.hub.storage.erase

    class Storage:
        async def erase(self, wanted: bytes) -> None:
            await erase(wanted)
            erased.set()

    eraser = Eraser(hub.hub.store, Storage())  # type: ignore[arg-type]
    running = asyncio.get_running_loop().create_task(eraser.run())
    try:
        await remove(hub)
        async with asyncio.timeout(20):
            await erased.wait()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    with pytest.raises(NotFound):
        await hub.hub.storage.open(checksum)
