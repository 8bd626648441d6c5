"""A mirror of three nodes: one request to the upstream for all of them, and no node that matters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end import members
from tests.end_to_end.members import Members
from tests.end_to_end.node import RunningNode
from tests.end_to_end.packages import rebar3_project, tarball
from tests.end_to_end.rebar3 import Rebar3Project, Repository, require_rebar3
from tests.end_to_end.test_mirror import mirroring

pytestmark = pytest.mark.long

NAMES = ["soil", "moss", "fern", "pine"]


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    require_rebar3()
    running = RunningNode(tmp_path_factory.mktemp("upstream"), {})
    try:
        running.create_user("author")
        key = running.create_key("author", "api")
        for name in NAMES:
            running.must_publish(tarball(name, "1.0.0", rebar3_project(name, "1.0.0")), key)
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def nodes(upstream: RunningNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Members]:
    folder = tmp_path_factory.mktemp("nodes")
    key = folder / "upstream.pem"
    key.write_text(upstream.public_key())
    settings: dict[str, Any] = dict(mirroring(upstream.url, Path(key)))
    started = members.start(folder, 3, **settings)
    try:
        started.wait_until_healthy()
        yield started
    finally:
        started.stop()


def _asked(upstream: RunningNode) -> dict[str, int]:
    """How often each route of the upstream was answered."""
    text = upstream.request("GET", "/metrics").body.decode()
    found: dict[str, int] = {}
    pattern = r'hexhub_http_requests_total\{.*route="([^"]+)".*\} ([0-9.e+]+)'
    for route, count in re.findall(pattern, text):
        found[route] = found.get(route, 0) + int(float(count))
    return found


def test_nodes_that_miss_the_same_file_at_once_ask_the_upstream_once(
    upstream: RunningNode, nodes: Members
) -> None:
    before = _asked(upstream)
    paths = [f"/tarballs/{name}-1.0.0.tar" for name in NAMES]
    asks = [(node, path) for path in paths for node in nodes for _ in range(4)]
    with ThreadPoolExecutor(len(asks)) as pool:
        answers = list(pool.map(lambda ask: ask[0].request("GET", ask[1]), asks))
    assert {answer.status for answer in answers} == {200}
    after = _asked(upstream)
    for route in ("/packages/{name}", "/tarballs/{file}"):
        assert after.get(route, 0) - before.get(route, 0) == len(NAMES)


def test_a_rule_that_is_set_at_one_node_holds_at_all(nodes: Members) -> None:
    path = "/tarballs/soil-1.0.0.tar"
    assert {node.request("GET", path).status for node in nodes} == {200}
    nodes.nodes[0].command("rules", "deny", "soil")
    found = [node.request("GET", each) for node in nodes for each in (path, "/repo" + path)]
    assert {answer.status for answer in found} == {403}
    nodes.nodes[1].command("rules", "remove", "deny soil")
    assert {node.request("GET", path).status for node in nodes} == {200}


def test_what_one_node_fetched_all_serve_when_the_upstream_and_that_node_are_gone(
    upstream: RunningNode, nodes: Members, tmp_path: Path
) -> None:
    key = upstream.public_key()
    bodies = {
        path: nodes.nodes[0].request("GET", path).body
        for path in (f"/tarballs/{name}-1.0.0.tar" for name in NAMES)
    }
    upstream.kill()
    members.until(
        lambda: all(node.state().get("blobs_behind") == 0 for node in nodes), "all objects"
    )
    for gone in list(nodes):
        gone.kill()
        for node in nodes.others(gone):
            for path, body in bodies.items():
                answer = node.request("GET", path)
                assert (answer.status, answer.body) == (200, body)
            project = Rebar3Project(
                tmp_path / f"{gone.port}-{node.port}",
                '[{soil, "~> 1.0"}]',
                [Repository("hexpm", node.url, key)],
            )
            output = project.run("get-deps")
            assert (output.code, project.fetched()) == (0, {"soil"}), output.text
        gone.start()
        nodes.wait_until_healthy()
