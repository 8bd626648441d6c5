"""A hub grows from one node to three, and loses nodes and takes them back."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end import members
from tests.end_to_end.members import MemberNode, Members, until
from tests.end_to_end.packages import rebar3_project, tarball
from tests.ports import free_port

CONTENT = tarball("first", "1.0.0", rebar3_project("first", "1.0.0"))


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[Members]:
    """Three nodes, each alone; the first has a user, a key and a package."""
    nodes = members.start(tmp_path, 3, together=False)
    try:
        first = nodes.nodes[0]
        first.create_user("mara")
        first.must_publish(CONTENT, first.create_key("mara", "api"))
        yield nodes
    finally:
        codes = nodes.stop()
    assert codes == [0, 0, 0]
    for node in nodes:
        assert "Traceback" not in node.log_text(), node.log_text()[-8000:]


def _address(node: MemberNode) -> str:
    return f"{node.name}@127.0.0.1:{node.environment['CLUSTER_PORT']}"


def _post(node: MemberNode, path: str, value: object, key: str) -> int:
    headers = {"content-type": "application/json"}
    body = json.dumps(value).encode()
    return node.request("POST", path, key=key, body=body, headers=headers).status


def _serves(node: MemberNode) -> bool:
    return node.request("GET", "/repo/tarballs/first-1.0.0.tar").body == CONTENT


def _healthy(count: int, *nodes: MemberNode) -> None:
    until(lambda: all(node.healthy_among(count) for node in nodes), f"{count} members")


@pytest.mark.long
def test_one_node_with_data_becomes_three_and_they_come_and_go(lone: Members) -> None:
    first, second, third = lone.nodes
    assert second.command("cluster", "join", _address(first)) == f"joined {_address(first)}"
    _healthy(2, first, second)
    assert _serves(second)
    assert second.public_key() == first.public_key()

    third.create_user("nora")
    refused = third.try_command("cluster", "join", _address(first))
    assert refused.code == 5
    assert "--force --discard hub3" in refused.stderr
    third.command("user", "admin", "nora")
    key = third.create_key("nora", "api")
    wanted = {"target": _address(second), "discard": "hub3"}
    assert _post(third, "/api/cluster/join", wanted, key) == 200
    _healthy(3, *lone)
    assert third.request("GET", "/api/users/me", key=key).status == 401
    assert _serves(third)
    assert third.try_command("user", "list").stdout == first.try_command("user", "list").stdout
    again = third.try_command("cluster", "join", _address(first), "--force", "--discard", "hub3")
    assert again.code == 5, again

    plan = json.loads(first.command("cluster", "restart-plan", "--json"))
    assert plan["ready"]
    assert plan["plan"][-1]["member"] == first.state()["leader"]

    first.command("user", "admin", "mara")
    assert _post(third, "/api/cluster/leave", {}, first.create_key("mara", "api", name="a")) == 200
    _healthy(2, first, second)
    _healthy(1, third)
    assert third.state()["cluster"] != first.state()["cluster"]
    assert third.request("GET", "/repo/tarballs/first-1.0.0.tar").status == 404
    third.command("cluster", "join", _address(first))
    _healthy(3, *lone)

    second.kill()
    assert first.command("cluster", "remove", "hub2") == "hub2 is no member any more"
    _healthy(2, first, third)
    shutil.rmtree(second.environment["DATA_DIR"])
    second.start()
    second.command("cluster", "join", _address(third))
    _healthy(3, *lone)
    assert _serves(second)
    _the_last_disk_is_a_cluster_again(lone)


def _the_last_disk_is_a_cluster_again(lone: Members) -> None:
    """By the operator's word, who names each member that is gone."""
    first, _, third = lone.nodes
    before = first.state()["cluster"]
    for node in lone:
        node.kill()
    named = first.try_command("cluster", "recover", "--discard-others", "hub2")
    assert named.code == 5
    assert "hub3" in named.stderr
    said = first.command("cluster", "recover", "--discard-others", "hub2", "hub3")
    assert "index" in said
    assert "gone" in said
    first.start()
    _healthy(1, first)
    assert first.state()["cluster"] != before
    assert _serves(first)
    third.start()
    until(lambda: third.state() and not third.state()["quorum"], "hub3 takes no writes")
    _healthy(1, first)


def test_fresh_nodes_on_one_machine_meet_without_any_list(tmp_path: Path) -> None:
    # A secret of its own: nodes of other tests run from this checkout too.
    nodes = members.start(
        tmp_path,
        3,
        together=False,
        CLUSTERING_ENABLED="true",
        SECRET_KEY_BASE=secrets.token_hex(32),
    )
    try:
        nodes.wait_until_healthy()
        assert len({node.state()["cluster"] for node in nodes}) == 1
    finally:
        nodes.stop()


@pytest.mark.long
def test_a_member_that_was_removed_while_away_knows_that_it_is_out(lone: Members) -> None:
    first, second, third = lone.nodes
    for node in (second, third):
        node.command("cluster", "join", _address(first))
    _healthy(3, *lone)
    second.kill()
    first.command("cluster", "remove", "hub2")
    _healthy(2, first, third)
    second.start()
    until(lambda: second.state() and not second.state()["quorum"], "hub2 takes no writes")
    _healthy(2, first, third)


@pytest.mark.long
def test_without_the_secret_or_with_a_name_that_is_taken_nobody_joins(
    lone: Members, tmp_path: Path
) -> None:
    first, second, _ = lone.nodes
    port = free_port()
    for number, (settings, words) in enumerate(
        [
            ({"SECRET_KEY_BASE": "another secret, which is long enough all the same"}, "secret"),
            ({"COOKIE": "another cookie, which is long enough all the same"}, "secret"),
        ]
    ):
        folder = tmp_path / f"stranger{number}"
        stranger = MemberNode(folder, "hub9", {"CLUSTER_PORT": str(port), **settings})
        try:
            refused = stranger.try_command("cluster", "join", _address(first))
            assert refused.code in (5, 6)
            assert words in refused.stderr
        finally:
            stranger.stop()
    second.command("cluster", "join", _address(first))
    _healthy(2, first, second)
    same = MemberNode(tmp_path / "same", "hub2", {"CLUSTER_PORT": str(port)})
    try:
        refused = same.try_command("cluster", "join", _address(first))
        assert refused.code == 5
        assert "a member called hub2 is there already" in refused.stderr
    finally:
        same.stop()
