"""A node without tables says that it lives and waits, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.web import Server, ServerRunner, TCPSite

from cluster import Node, NodeSettings
from hexhub.http.waiting import Waiting
from hexhub.schema import schema


async def _ask(folder: Path, method: str, path: str) -> tuple[int, Any, Any]:
    node = await Node.open(NodeSettings(name="n", directory=folder), schema)
    runner = ServerRunner(Server(Waiting(node, insider=False)))
    await runner.setup()
    try:
        await TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}{path}"
        async with ClientSession() as session, session.request(method, url) as answer:
            body = await answer.json() if await answer.read() else None
            return answer.status, answer.headers.get("Retry-After"), body
    finally:
        await runner.cleanup()
        await node.close()


@pytest.mark.parametrize("path", ["/status", "/health/live", "//health/live/"])
async def test_it_lives(tmp_path: Path, path: str) -> None:
    assert (await _ask(tmp_path, "GET", path))[0] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/health/ready"),
        ("GET", "/health/read"),
        ("GET", "/names"),
        ("POST", "/api/publish"),
        ("GET", "/%ff"),
    ],
)
async def test_everything_else_may_be_tried_again(tmp_path: Path, method: str, path: str) -> None:
    status, retry_after, body = await _ask(tmp_path, method, path)
    assert (status, retry_after) == (503, "2")
    assert "not part of a cluster yet" in body["message"]


async def test_it_tells_what_it_knows_of_the_cluster(tmp_path: Path) -> None:
    status, _, body = await _ask(tmp_path, "GET", "/api/cluster/status")
    assert status == 503
    assert body["node"] == "n"
    assert "disk_free" not in body
