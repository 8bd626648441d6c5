"""A node of the test schema in a directory of its own, closed at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from cluster import Node, NodeSettings, Schema
from tests.cluster import tables

OpenNode = Callable[..., Awaitable[Node]]


@pytest.fixture
async def open_node(tmp_path: Path) -> AsyncIterator[OpenNode]:
    """Open the node of this test; again after it was closed."""
    opened: list[Node] = []

    async def open_(schema: Schema = tables.schema, **settings: Any) -> Node:
        settings.setdefault("directory", tmp_path / "data")
        settings.setdefault("disk_reserve", 0)
        node = await Node.open(NodeSettings(name="n1", **settings), schema)
        opened.append(node)
        return node

    yield open_
    for node in opened:
        if not node.closed:
            await node.close()


@pytest.fixture
async def node(open_node: OpenNode) -> Node:
    return await open_node()
