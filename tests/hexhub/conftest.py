"""Fixtures of the application's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.hexhub import hubs, mirrors
from tests.hexhub.hubs import Person, TestHub
from tests.hexhub.mirrors import Pair


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[TestHub]:
    """A hub with nothing in it."""
    async with hubs.running(tmp_path) as running:
        yield running
        assert not running.faults, running.faults[0]


@pytest.fixture
async def mara(hub: TestHub) -> Person:
    """A user with a key for the API and all repositories."""
    return await hub.user("mara")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TestHub]:
    """A hub for all tests of a module; those need `pytest.mark.asyncio(loop_scope="module")`."""
    async with hubs.running(tmp_path_factory.mktemp("hub")) as running:
        yield running
        assert not running.faults, running.faults[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_mara(module_hub: TestHub) -> Person:
    """A user of the module's hub with a key for the API and all repositories."""
    return await module_hub.user("mara")


@pytest.fixture(scope="session")
def upstream_keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Files of an upstream's private and public key."""
    return mirrors.make_keys(tmp_path_factory.mktemp("upstream_key"))


@pytest.fixture
async def pair(tmp_path: Path, upstream_keys: tuple[Path, Path]) -> AsyncIterator[Pair]:
    """A mirror with nothing kept, and its upstream with nothing published."""
    async with mirrors.mirroring(tmp_path, upstream_keys) as running:
        yield running
        assert not running.hub.faults, running.hub.faults[0]
