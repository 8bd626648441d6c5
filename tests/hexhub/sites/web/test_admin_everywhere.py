"""What an administrator changes at one node of a cluster holds at the other, without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import ClientSession
from aiohttp.web import ServerRunner, TCPSite
from argon2 import PasswordHasher

from hexhub import app, config
from hexhub.domain import jobs
from hexhub.http.metrics import Metrics
from tests.hexhub.browser import Browser
from tests.hexhub.hubs import SIGNING_KEY, Clock, TestHub, quiet_log
from tests.ports import free_ports

PASSWORD = "a good password"
FORMED_S = 30.0

pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def _node(folder: Path, name: str, nodes: str) -> AsyncIterator[TestHub]:
    """One of two nodes in this process, with an upstream that nobody can reach."""
    mine = next(each for each in nodes.split(",") if each.startswith(name))
    environ = {
        "DATA_DIR": str(folder / name / "data"),
        "NODE_NAME": name,
        "CLUSTERING_ENABLED": "true",
        "CLUSTER_NODES": nodes,
        "CLUSTER_PORT": mine.rpartition(":")[2],
        "SECRET_KEY_BASE": "s" * 64,
        "SIGNING_KEY_FILE": str(SIGNING_KEY),
        "UPSTREAM_REPO_URL": "http://127.0.0.1:1",
        "UPSTREAM_RETRY_ATTEMPTS": "0",
        "HEXHUB_BACKUP_DIR": str(folder / name / "backups"),
    }
    loaded, clock, faults = config.load(environ, checkout=folder / name), Clock(), list[str]()
    async with app.open_hub(loaded, now=clock, linked=True) as hub:
        hub.passwords._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        runner = ServerRunner(app.public_face(loaded, hub, Metrics(), quiet_log(faults)))
        await runner.setup()
        await TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with ClientSession(auto_decompress=False) as session:
                url = f"http://127.0.0.1:{runner.addresses[0][1]}"
                yield TestHub(hub, session, url, clock, faults, folder / name)
        finally:
            await runner.cleanup()
    assert not faults, faults[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def two(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Browser, Browser]]:
    """The same administrator at a browser before each of two nodes."""
    folder = tmp_path_factory.mktemp("two")
    ports = free_ports(2)
    nodes = ",".join(f"{name}@127.0.0.1:{port}" for name, port in zip("ab", ports, strict=True))
    patched = pytest.MonkeyPatch()
    patched.setattr(app, "LAST_FLUSH_S", 0.1)  # the second one to go has no majority to tell
    async with AsyncExitStack() as stack:
        stack.callback(patched.undo)
        opening = [stack.enter_async_context(_node(folder, name, nodes)) for name in "ab"]
        async with asyncio.timeout(FORMED_S):
            first, second = await asyncio.gather(*opening)
        await first.user("root", password=PASSWORD, admin=True)
        browsers = Browser(first), Browser(second)
        for each in browsers:
            await each.sign_in("root", PASSWORD)
        yield browsers


async def test_settings_of_the_mirror_hold_on_every_node(two: tuple[Browser, Browser]) -> None:
    here, there = two
    asked = await there.hub.nobody.get("/packages/elm")
    assert b"cannot be reached" in asked.body
    await here.send("/admin/upstream", "/admin/upstream", paused="on", wait="777")
    await there.hub.hub.store.barrier()
    shown = (await there.get("/admin/upstream")).text
    assert "Paused" in shown
    assert 'value="777"' in shown
    refused = await there.hub.nobody.get("/packages/other")
    assert b"an administrator paused it" in refused.body
    assert "paused on, wait 777" in (await there.get("/admin/audit")).text


async def test_a_rule_and_a_notice_hold_on_every_node(two: tuple[Browser, Browser]) -> None:
    here, there = two
    await here.send("/admin/rules", "/admin/rules/new", kind="deny", pattern="left_*")
    await here.send("/admin/notice", "/admin/notice", text="Down on Sunday", level="warn")
    await there.hub.hub.store.barrier()
    asked = await there.get("/admin/rules?repository=hexpm&name=left_pad&version=1.0.0")
    assert "left_pad 1.0.0 is held back" in asked.text
    assert "Down on Sunday" in (await there.get("/")).text


async def test_any_node_tells_how_far_work_at_another_is(two: tuple[Browser, Browser]) -> None:
    here, there = two
    sent = await here.send("/admin/backups", "/admin/backups/new")

    def ended() -> bool:
        with there.hub.hub.store.view() as view:
            found = jobs.newest(view)
        return bool(found) and found[0].state != "running"

    await there.hub.settled(ended)
    page = (await there.get(sent.location)).text
    assert "badge good" in page
    assert "<dd>a</dd>" in page  # the node that made it
    backups = (await there.get("/admin/backups")).text
    assert backups.count("badge good") == 1
    assert "No backup yet" in backups  # the file lies at the other node


async def test_the_overview_shows_both_members(two: tuple[Browser, Browser]) -> None:
    for each in two:
        page = (await each.get("/admin")).text
        assert 'data-number="a:lag"' in page
        assert 'data-number="b:lag"' in page
        assert page.count('class="badge good" data-number') >= 2
