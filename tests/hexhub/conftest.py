"""Fixtures of the application's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.hexhub import hubs
from tests.hexhub.hubs import Person, TestHub


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[TestHub]:
    """A hub with nothing in it."""
    async with hubs.running(tmp_path) as running:
        yield running


@pytest.fixture
async def mara(hub: TestHub) -> Person:
    """A user with a key for the API and all repositories."""
    return await hub.user("mara", password="a good password")
