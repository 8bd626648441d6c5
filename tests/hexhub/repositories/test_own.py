"""The derived registry: what it remembers, and that it never remembers wrongly (design §6)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cluster import Change
from hexhub.errors import NotFound
from hexhub.formats import registry as wire, signing_key
from hexhub.repositories.own import Own
from hexhub.schema import PUBLIC, Package, Release
from tests.hexhub.hubs import SIGNING_KEY, Person, TestHub
from tests.hexhub.packages import package
from tests.hexhub.registry import SIZE_MAX, names, registry_package, versions

MANY = 3000
"""Enough packages that `names` is built on a thread."""


def _fill(tx: Any, moment: Any, numbers: range) -> None:
    for number in numbers:
        name = f"p{number:05d}_{number * 7919 % 100_003}"
        tx.put(Package(repository=PUBLIC, name=name, created_at=moment, updated_at=moment))
        tx.put(
            Release(
                repository=PUBLIC,
                package=name,
                version="1.0.0",
                inner_checksum=bytes(32),
                outer_checksum=bytes(32),
                size=1,
                app=name,
                build_tools=("mix",),
                created_at=moment,
                updated_at=moment,
            )
        )


@pytest.fixture
async def large(hub: TestHub) -> TestHub:
    """A hub with a large registry."""
    for start in range(0, MANY, 500):
        await hub.hub.store.transact(_fill, hub.hub.now(), range(start, start + 500))
    return hub


class Gate:
    """Holds what is signed on a thread until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.reached = threading.Event(), threading.Event()
        self.sealed = 0
        real: Callable[..., bytes] = wire.seal_parts

        def seal_parts(*args: Any) -> bytes:
            if threading.current_thread() is not threading.main_thread():
                self.sealed += 1
                self.reached.set()
                self.open.wait(20)
            return real(*args)

        monkeypatch.setattr(wire, "seal_parts", seal_parts)

    async def wait(self) -> None:
        """Until something is held."""
        assert await asyncio.to_thread(self.reached.wait, 20)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


@pytest.mark.parametrize("path", ["/names", "/versions"])
async def test_a_publish_while_a_list_is_built_is_in_the_list_that_is_asked_for_after_it(
    large: TestHub, gate: Gate, path: str
) -> None:
    mara = await large.user("mara")
    before = asyncio.create_task(large.nobody.get(path))
    await gate.wait()
    assert (await mara.publish(package("acorn"))).status == 201
    after = asyncio.create_task(large.nobody.get(path))
    gate.open.set()
    old, new = await before, await after
    assert old.status == new.status == 200
    assert "acorn" in await _listed(large, new.body, path)
    again = await large.nobody.get(path)
    assert again.body == new.body
    assert again.headers["ETag"] == new.headers["ETag"]


@pytest.mark.parametrize("path", ["/names", "/versions"])
async def test_a_list_that_a_publish_overtook_is_not_remembered(
    large: TestHub, gate: Gate, path: str
) -> None:
    mara = await large.user("mara")
    before = asyncio.create_task(large.nobody.get(path))
    await gate.wait()
    assert (await mara.publish(package("acorn"))).status == 201
    gate.open.set()
    assert "acorn" not in await _listed(large, (await before).body, path)
    assert "acorn" in await _listed(large, (await large.nobody.get(path)).body, path)


async def _listed(hub: TestHub, body: bytes, path: str) -> set[str]:
    key = signing_key.load_public_key((await hub.nobody.get("/public_key")).body)
    payload = wire.unseal(body, key, size_max=SIZE_MAX)
    decode: Any = wire.decode_names if path == "/names" else wire.decode_versions
    return {entry.name for entry in decode(payload).packages}


async def test_those_who_ask_at_the_same_time_share_one_build(large: TestHub, gate: Gate) -> None:
    asked = [asyncio.create_task(large.nobody.get("/names")) for _ in range(8)]
    await gate.wait()
    gate.open.set()
    answers = await asyncio.gather(*asked)
    assert {answer.status for answer in answers} == {200}
    assert gate.sealed == 1


async def test_a_caller_that_goes_away_takes_nobody_along(large: TestHub, gate: Gate) -> None:
    own = large.hub.own
    leaving = asyncio.create_task(own.get(PUBLIC, "names"))
    await gate.wait()
    staying = asyncio.create_task(own.get(PUBLIC, "names"))
    await asyncio.sleep(0)
    leaving.cancel()
    gate.open.set()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert (await staying).body


async def test_a_restore_while_a_list_is_built_is_not_forgotten(large: TestHub, gate: Gate) -> None:
    """After a snapshot came in, everything may have changed, in every repository."""
    listeners: list[Callable[[Change], None]] = []

    class Tables:
        view = large.hub.store.view

        def subscribe(self, listener: Callable[[Change], None]) -> None:
            listeners.append(listener)

    own = Own(Tables(), signing_key.load_private_key(SIGNING_KEY.read_bytes()))  # type: ignore[arg-type]
    building = asyncio.create_task(own.get(PUBLIC, "names"))
    await gate.wait()
    await large.hub.store.transact(_rename)
    for listener in listeners:
        listener(Change(1, None))
    gate.open.set()
    assert "renamed" not in await _listed(large, (await building).body, "/names")
    assert "renamed" in await _listed(large, (await own.get(PUBLIC, "names")).body, "/names")
    own.close()


def _rename(tx: Any) -> None:
    first = next(iter(tx.scan(Package, PUBLIC)))
    tx.delete(first)
    tx.put(
        Package(
            repository=PUBLIC,
            name="renamed",
            created_at=first.created_at,
            updated_at=first.updated_at,
        )
    )


async def test_many_publishes_and_readers_at_once_never_miss(hub: TestHub, mara: Person) -> None:
    """Whatever was answered with 201 is in each list asked for afterwards."""
    published: set[str] = set()
    done = asyncio.Event()

    async def publish(number: int) -> None:
        for step in range(4):
            name = f"p{number}_{step}"
            assert (await mara.publish(package(name))).status == 201
            published.add(name)

    async def read() -> None:
        while not done.is_set():
            expected = set(published)
            assert expected <= set(await names(hub))
            assert expected <= set(await versions(hub))
            for name in list(expected)[:2]:
                assert (await registry_package(hub, name)).releases

    readers = [asyncio.create_task(read()) for _ in range(2)]
    await asyncio.gather(*(publish(number) for number in range(4)))
    done.set()
    await asyncio.gather(*readers)
    assert set(await names(hub)) == published


async def test_bytes_and_tags_are_the_same_after_a_restart_and_on_another_node(
    hub: TestHub, mara: Person
) -> None:
    for name in ("zeta", "alpha", "mid"):
        await mara.publish(package(name))
    key = signing_key.load_private_key(SIGNING_KEY.read_bytes())
    other = Own(hub.hub.store, key)
    for path in ("names", "versions", "packages/zeta"):
        ours, theirs = await hub.hub.own.get(PUBLIC, path), await other.get(PUBLIC, path)
        assert (ours.body, ours.etag) == (theirs.body, theirs.etag)
    other.close()


async def test_a_change_forgets_only_what_it_concerns(hub: TestHub, mara: Person) -> None:
    await hub.organization("forest", mara)
    await mara.publish(package("acorn"))
    await mara.publish(package("plug"))
    await mara.publish(package("oak"), repository="forest")
    own = hub.hub.own
    before = {
        (repository, path): await own.get(repository, path)
        for repository, path in (
            (PUBLIC, "packages/acorn"),
            (PUBLIC, "packages/plug"),
            (PUBLIC, "names"),
            ("forest", "names"),
        )
    }
    await mara.publish(package("acorn", "1.1.0"))
    same = {where: await own.get(*where) is kept for where, kept in before.items()}
    assert same == {
        (PUBLIC, "packages/acorn"): False,
        (PUBLIC, "packages/plug"): True,
        (PUBLIC, "names"): False,
        ("forest", "names"): True,
    }


async def test_an_empty_registry_is_a_list_of_nothing_and_an_unknown_package_is_none(
    hub: TestHub,
) -> None:
    assert await names(hub) == {}
    assert await versions(hub) == {}
    with pytest.raises(NotFound):
        await hub.hub.own.get(PUBLIC, "packages/none")
