"""Fixtures of the application's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.hexhub import hubs, mirrors
from tests.hexhub.hubs import FACES, Person, TestHub
from tests.hexhub.mirrors import Pair

EVERY_FACE = frozenset(
    {
        "http.test_connections",
        "http.test_headers",
        "http.test_negotiation",
        "http.test_routing",
        "http.test_sendfile",
        "http.test_uploads",
        "sites.api.test_access",
        "sites.api.test_docs",
        "sites.api.test_keys",
        "sites.api.test_releases",
        "sites.api.test_retirement",
        "sites.test_repo",
        "test_bad_input",
    }
)
"""Modules whose tests the long run repeats without the hot path, and with readers."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have the tests of these modules meet each face that a hub can have."""
    module = metafunc.module.__name__.removeprefix("tests.hexhub.")
    if module in EVERY_FACE and "face" in metafunc.fixturenames:
        # What a test patches here is another thing in a process of its own.
        others = FACES[1:2] if "monkeypatch" in metafunc.fixturenames else FACES[1:]
        faces = ["hot", *(pytest.param(name, marks=pytest.mark.long) for name in others)]
        metafunc.parametrize("face", faces, indirect=True, scope="module")


@pytest.fixture(scope="module")
def face(request: pytest.FixtureRequest) -> str:
    """How the hub of a test answers (hubs.running)."""
    return str(getattr(request, "param", "hot"))


@pytest.fixture
async def hub(tmp_path: Path, face: str) -> AsyncIterator[TestHub]:
    """A hub with nothing in it."""
    async with hubs.running(tmp_path, face=face) as running:
        yield running
        assert not running.faults, running.faults[0]


@pytest.fixture
async def mara(hub: TestHub) -> Person:
    """A user with a key for the API and all repositories."""
    return await hub.user("mara")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_hub(tmp_path_factory: pytest.TempPathFactory, face: str) -> AsyncIterator[TestHub]:
    """A hub for all tests of a module; those need `pytest.mark.asyncio(loop_scope="module")`."""
    async with hubs.running(tmp_path_factory.mktemp("hub"), face=face) as running:
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
