"""One shelf: own and upstream packages under one signature."""

from __future__ import annotations

from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from hexhub.formats import registry as wire
from tests.hexhub.mirrors import Pair
from tests.hexhub.packages import package


async def read(pair: Pair, path: str) -> bytes:
    """The payload of a resource, which must be signed by the mirroring hub."""
    key = load_pem_public_key((await pair.get("/public_key")).body)
    assert isinstance(key, RSAPublicKey)
    answer = await pair.get(path)
    assert answer.status == 200, answer.body
    return wire.unseal(answer.body, key, size_max=1_000_000)


async def test_names_and_versions_are_the_union_under_our_signature(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    await pair.publish("alder", "1.0.0")
    await pair.mara.publish(package("mine", "2.0.0"))
    names = wire.decode_names(await read(pair, "/repo/names"))
    assert names.repository == "hexpm"
    assert [entry.name for entry in names.packages] == ["alder", "mine", "pine"]
    versions = wire.decode_versions(await read(pair, "/repo/versions"))
    assert {entry.name: entry.versions for entry in versions.packages} == {
        "alder": ("1.0.0",),
        "mine": ("2.0.0",),
        "pine": ("1.0.0",),
    }


async def test_a_publish_here_or_there_is_in_the_union(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    await read(pair, "/repo/versions")
    await pair.mara.publish(package("mine", "2.0.0"))
    await pair.publish("pine", "1.1.0")
    pair.hub.clock.ahead = timedelta(minutes=5)
    versions = wire.decode_versions(await read(pair, "/repo/versions"))
    assert {entry.name: entry.versions for entry in versions.packages} == {
        "mine": ("2.0.0",),
        "pine": ("1.0.0", "1.1.0"),
    }


async def test_an_upstream_package_says_the_same_under_our_signature(pair: Pair) -> None:
    body = await pair.publish("pine", "1.0.0")
    theirs = await pair.upstream.nobody.get("/packages/pine")
    key = load_pem_public_key(pair.key_file.read_bytes())
    assert isinstance(key, RSAPublicKey)
    assert await read(pair, "/repo/packages/pine") == wire.unseal(
        theirs.body, key, size_max=1_000_000
    )
    assert (await pair.get("/repo/tarballs/pine-1.0.0.tar")).body == body


async def test_own_packages_are_at_both_addresses_with_the_same_bytes(pair: Pair) -> None:
    await pair.mara.publish(package("mine", "2.0.0"))
    root, shelf = await pair.get("/packages/mine"), await pair.get("/repo/packages/mine")
    assert (root.status, root.body) == (200, shelf.body)
    assert pair.between.requests["/packages/mine"] == 0


async def test_the_shelf_tells_whether_a_copy_changed(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    for path in ("/repo/packages/pine", "/repo/names", "/repo/versions"):
        first = await pair.get(path)
        assert (await pair.get(path, if_none_match=first.headers["ETag"])).status == 304
        assert first.headers["X-Cache"] == "MISS"


async def test_without_its_upstream_the_shelf_has_our_packages(pair: Pair) -> None:
    await pair.mara.publish(package("mine", "2.0.0"))
    pair.between.fault = "503"
    names = wire.decode_names(await read(pair, "/repo/names"))
    assert [entry.name for entry in names.packages] == ["mine"]


async def test_a_copy_on_the_shelf_survives_its_upstream(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    before = await read(pair, "/repo/packages/pine")
    pair.between.fault = "reset"
    pair.hub.clock.ahead = timedelta(days=9)
    assert await read(pair, "/repo/packages/pine") == before
    assert (await pair.get("/repo/packages/pine")).headers["X-Cache"] == "STALE"


async def test_organizations_have_only_what_is_theirs(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    await pair.hub.organization("acme", pair.mara)
    for base in ("/repos/acme", "/repo/repos/acme"):
        assert (await pair.mara.get(f"{base}/packages/pine")).status == 404
