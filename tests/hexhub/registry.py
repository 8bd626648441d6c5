"""The registry as a client sees it: fetched, its signature checked, decoded."""

from __future__ import annotations

from hexhub.formats import registry as wire, signing_key
from tests.hexhub.hubs import Person, TestHub

SIZE_MAX = 16 * 1024 * 1024


def _prefix(repository: str | None, base: str) -> str:
    return base + (f"/repos/{repository}" if repository else "")


async def _payload(
    hub: TestHub, path: str, repository: str | None, reader: Person | None, base: str
) -> bytes:
    answer = await (reader or hub.nobody).get(_prefix(repository, base) + path)
    assert answer.status == 200
    key = signing_key.load_public_key((await hub.nobody.get("/public_key")).body)
    return wire.unseal(answer.body, key, size_max=SIZE_MAX)


async def registry_package(
    hub: TestHub,
    name: str,
    *,
    repository: str | None = None,
    reader: Person | None = None,
    base: str = "",
) -> wire.RegistryPackage:
    """`packages/NAME`, which must be there."""
    payload = await _payload(hub, f"/packages/{name}", repository, reader, base)
    found = wire.decode_package(payload)
    assert (found.name, found.repository) == (name, repository or "hexpm")
    return found


async def names(
    hub: TestHub, *, repository: str | None = None, reader: Person | None = None, base: str = ""
) -> dict[str, wire.NamesEntry]:
    """`names`, by name."""
    found = wire.decode_names(await _payload(hub, "/names", repository, reader, base))
    assert found.repository == (repository or "hexpm")
    entries = [entry.name for entry in found.packages]
    assert entries == sorted(entries)
    return {entry.name: entry for entry in found.packages}


async def versions(
    hub: TestHub, *, repository: str | None = None, reader: Person | None = None, base: str = ""
) -> dict[str, wire.VersionsEntry]:
    """`versions`, by name."""
    found = wire.decode_versions(await _payload(hub, "/versions", repository, reader, base))
    assert found.repository == (repository or "hexpm")
    return {entry.name: entry for entry in found.packages}
