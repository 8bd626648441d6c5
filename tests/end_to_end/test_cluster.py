"""Three real nodes: any of them serves everything, any of them may die, nothing is lost."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end import balancers, members
from tests.end_to_end.members import MemberNode, Members, until
from tests.end_to_end.mix import missing_mix
from tests.end_to_end.node import Answer
from tests.end_to_end.rebar3 import Rebar3Project, Repository
from tests.end_to_end.rebar3_hex import USER_AGENT
from tests.end_to_end.traffic import (
    MixDeveloper,
    Private,
    Traffic,
    fetch_by_rebar3,
    package,
    sha256,
)

WITHIN_S = 9.0
"""8 s until a node says that it cannot, and what a loaded machine adds."""


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Members]:
    nodes = members.start(tmp_path_factory.mktemp("cluster"), 3)
    try:
        nodes.wait_until_healthy()
        yield nodes
        for node in nodes:
            if not node.runs:
                node.start()
    finally:
        codes = nodes.stop()
    assert codes == [0, 0, 0]
    for node in nodes:
        assert "Traceback" not in node.log_text(), node.log_text()[-8000:]


@pytest.fixture(scope="module")
def mara(three: Members) -> str:
    three.nodes[0].create_user("mara")
    return three.nodes[1].create_key("mara", "api", name="mara-api")


@pytest.fixture(autouse=True)
def _whole(three: Members) -> None:
    """Every test begins with all three."""
    for node in three:
        if not node.runs:
            node.start()
    three.wait_until_healthy()


def fetched(node: MemberNode, name: str, version: str = "1.0.0") -> bytes:
    answer = node.request("GET", f"/repo/tarballs/{name}-{version}.tar")
    assert answer.status == 200, (node.name, answer)
    return answer.body


def test_three_fresh_nodes_are_one_cluster(three: Members) -> None:
    states = [node.state() for node in three]
    assert len({state["cluster"] for state in states}) == 1
    assert len({state["leader"] for state in states}) == 1
    assert sorted(state["role"] for state in states) == ["follower", "follower", "leader"]
    assert {each["name"] for each in states[0]["members"]} == {"hub1", "hub2", "hub3"}
    assert len({node.public_key() for node in three}) == 1


def test_what_one_node_published_every_node_shows_at_once(three: Members, mara: str) -> None:
    for number, node in enumerate(three, start=1):
        content = package(f"seen{number}")
        node.must_publish(content, mara)
        for each in three:
            assert fetched(each, f"seen{number}") == content
            assert each.request("GET", f"/api/packages/seen{number}").status == 200
    names = [node.request("GET", "/repo/names") for node in three]
    assert len({answer.headers["etag"] for answer in names}) == 1
    assert len({answer.body for answer in names}) == 1


def test_the_id_of_a_request_is_in_the_logs_of_every_node_that_worked_for_it(
    three: Members, mara: str
) -> None:
    published, asked = "5eed" * 8, "a5ced" * 8
    first, second, third = three
    headers = {"x-request-id": published, "content-type": "application/octet-stream"}
    content = package("traced")
    answer = first.request("POST", "/api/publish", key=mara, body=content, headers=headers)
    assert (answer.status, answer.headers["x-request-id"]) == (201, published)
    until(lambda: all(each.state().get("blobs_behind") == 0 for each in three), "it is everywhere")
    name = sha256(content).hex()
    path = Path(third.environment["DATA_DIR"]) / "storage" / name[:2] / name
    path.unlink()
    answer = third.request("GET", "/tarballs/traced-1.0.0.tar", headers={"x-request-id": asked})
    assert (answer.status, answer.body) == (200, content)

    def said(node: MemberNode, id: str) -> set[str]:
        lines = [line for line in node.log_text().splitlines() if line.startswith("{")]
        events = [json.loads(line) for line in lines]
        return {event["event"] for event in events if event.get("request_id") == id}

    for event, id, nodes in (
        ("request", published, (first,)),
        ("a peer gives", published, (second, third)),
        ("request", asked, (third,)),
        ("a peer asks", asked, (first, second)),
    ):
        # Lines are written behind the answer.
        until(lambda: any(event in said(node, id) for node in nodes), f"{event} in a log")  # noqa: B023


def test_a_revoked_key_is_refused_by_every_node(three: Members, mara: str) -> None:
    secret = three.nodes[2].create_key("mara", "api", name="short")
    for node in three:
        assert node.request("GET", "/api/users/me", key=secret).status == 200
    assert three.nodes[0].request("DELETE", "/api/keys/short", key=mara).status == 200
    for node in three:
        assert node.request("GET", "/api/users/me", key=secret).status == 401


def test_a_node_that_was_cut_off_refuses_what_was_revoked_meanwhile(
    three: Members, mara: str
) -> None:
    secret = three.nodes[0].create_key("mara", "api", name="cut")
    frozen = three.others(three.leader)[0]
    assert frozen.request("GET", "/api/users/me", key=secret).status == 200
    frozen.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        revoked = three.leader.request("DELETE", "/api/keys/cut", key=mara)
        assert revoked.status == 200
        assert time.monotonic() - began < WITHIN_S
    finally:
        frozen.process.send_signal(signal.SIGCONT)
    assert frozen.request("GET", "/api/users/me", key=secret).status in (401, 503)
    three.wait_until_healthy()
    assert frozen.request("GET", "/api/users/me", key=secret).status == 401


def test_a_write_goes_on_when_the_leader_dies_and_it_catches_up(three: Members, mara: str) -> None:
    dead = three.leader
    living = three.others(dead)
    dead.kill()
    content = package("survives")
    answers = [_until_published(node, content, mara) for node in living]
    assert answers[0].status == 201
    for node in living:
        assert fetched(node, "survives") == content
    dead.start()
    three.wait_until_healthy()
    assert fetched(dead, "survives") == content
    until(lambda: dead.state()["blobs_behind"] == 0, "no objects behind")


def _until_published(node: MemberNode, content: bytes, key: str) -> Answer:
    """Publish again while there is no leader; 422 when it is there already."""

    def once() -> Answer | None:
        answer = node.publish(content, key)
        return answer if answer.status in (201, 422) else None

    return until(once, "published")


def test_a_published_object_outlives_the_disk_of_its_node(three: Members, mara: str) -> None:
    content = package("durable")
    first = three.nodes[0]
    first.must_publish(content, mara)
    first.kill()
    for node in three.others(first):
        assert fetched(node, "durable") == content


def test_without_a_quorum_a_node_reads_and_says_that_it_cannot_write(
    three: Members, mara: str
) -> None:
    content = package("readable")
    left = three.nodes[0]
    left.must_publish(content, mara)
    for node in three.others(left):
        node.kill()

    began = time.monotonic()
    answer = left.publish(package("lost"), mara)
    assert time.monotonic() - began < WITHIN_S
    assert (answer.status, answer.json()["status"]) == (503, 503)
    assert int(answer.headers["retry-after"]) > 0
    headers = {"user-agent": USER_AGENT, "content-type": "application/octet-stream"}
    path = "/api/publish?replace=false"
    began = time.monotonic()
    misread = left.request("POST", path, key=mara, body=package("lost"), headers=headers)
    assert time.monotonic() - began < WITHIN_S
    assert misread.status == 500

    assert fetched(left, "readable") == content
    assert left.request("GET", "/api/packages/readable").status == 200
    assert left.request("GET", "/health/read").status == 200
    assert left.request("GET", "/health/live").status == 200
    assert left.request("GET", "/health/ready").status == 503
    assert left.request("GET", "/api/cluster/status").status == 503
    assert left.state()["quorum"] is False
    private = left.request("GET", "/api/users/me", key=mara)
    assert private.status == 503


@pytest.mark.long
def test_rebar3_gives_up_on_what_needs_a_key_when_no_quorum_comes_back(
    three: Members, mara: str, tmp_path: Path
) -> None:
    """Its HTTP client would repeat for ever what it is told to try again soon."""
    left = three.nodes[0]
    left.create_organization("acme", admin="mara")
    left.must_publish(package("vault"), mara, "acme")
    key = left.create_key("mara", "repository:acme", name="reader")
    acme = Repository("acme", f"{left.url}/repos/acme", left.public_key(), key)
    before = Rebar3Project(tmp_path / "before", "[vault]", [acme])
    assert before.run("get-deps").code == 0
    for node in three.others(left):
        node.kill()
    after = Rebar3Project(tmp_path / "after", "[vault]", [acme])
    output = after.run("get-deps")
    assert output.code != 0
    assert "vault" in output.text
    assert after.fetched() == set()


def test_only_insiders_see_versions_addresses_and_disks(three: Members, mara: str) -> None:
    node = three.nodes[0]
    assert {"version", "disk_free"}.isdisjoint(node.state())
    told = json.loads(node.command("cluster", "status", "--json"))
    assert {"version", "disk_free"} < set(told)
    assert "HEXHUB" not in json.dumps(told)
    assert members.SECRET not in json.dumps(told)


def test_a_snapshot_is_taken_by_the_operators_word(three: Members) -> None:
    value = json.loads(three.nodes[0].command("cluster", "snapshot", "--json"))
    assert (Path(value["folder"]) / "META").is_file()


def test_the_leader_can_be_moved(three: Members) -> None:
    before = three.leader
    to = three.others(before)[0]
    assert before.command("cluster", "transfer", to.name) == f"{to.name} leads"
    until(lambda: three.leader is to, f"{to.name} leads")


def test_joining_and_leaving_take_an_administrator(three: Members, mara: str) -> None:
    node = three.nodes[0]
    for path in ("/api/cluster/join", "/api/cluster/leave"):
        assert node.request("POST", path).status == 401
        assert node.request("POST", path, key=mara).status == 403
    three.wait_until_healthy()


@pytest.mark.parametrize(
    ("program", "rounds"), [("nginx", 3), pytest.param("haproxy", 3, marks=pytest.mark.long)]
)
def test_rebar3_publishes_and_fetches_behind_one_address_while_nodes_die(
    three: Members, mara: str, tmp_path: Path, program: str, rounds: int
) -> None:
    _nodes_die(three, mara, tmp_path, program, f"short_{program}", rounds=rounds)


def test_a_rolling_restart_fails_no_request(three: Members, mara: str, tmp_path: Path) -> None:
    plan = json.loads(three.nodes[0].command("cluster", "restart-plan", "--json"))
    names = [step["member"] for step in plan["plan"]]
    assert sorted(names) == ["hub1", "hub2", "hub3"]
    by_name = {node.name: node for node in three}
    with balancers.in_front_of("nginx", three.nodes, tmp_path / "nginx") as front:
        client = Traffic(front, mara, "rolling")
        with client:
            for name in names:
                client.wait_for_more(client.published)
                assert by_name[name].stop() == 0
                client.wait_for_more(client.published)
                by_name[name].start()
                three.wait_until_healthy()
        assert (client.failed_writes, client.failed_reads) == ([], [])


@pytest.mark.long
def test_rebar3_publishes_and_fetches_through_nginx_for_five_minutes(
    three: Members, mara: str, tmp_path: Path
) -> None:
    _nodes_die(three, mara, tmp_path, "nginx", "long", rounds=1000, seconds=300.0)


@pytest.mark.long
@pytest.mark.skipif(missing_mix() is not None, reason=missing_mix() or "")
def test_mix_publishes_and_fetches_through_nginx_for_five_minutes(
    three: Members, mara: str, tmp_path: Path
) -> None:
    _nodes_die(three, mara, tmp_path, "nginx", "mixed", rounds=1000, seconds=300.0, with_mix=True)


def _nodes_die(
    three: Members,
    key: str,
    folder: Path,
    program: str,
    prefix: str,
    *,
    rounds: int,
    seconds: float = 60.0,
    with_mix: bool = False,
) -> None:
    """Nodes are killed and started in turn; whatever a client saw succeed is on every node after."""
    pem = three.nodes[0].public_key()
    with balancers.in_front_of(program, three.nodes, folder / program) as front:
        mix = MixDeveloper(front, key, pem, folder) if with_mix else None
        traffic = Traffic(front, key, prefix, _private(three, key, f"{prefix}_org"))
        kills = 0
        with traffic:
            end = time.monotonic() + seconds
            for number in range(rounds):
                if time.monotonic() > end:
                    break
                node = three.nodes[number % 3]
                before = traffic.published
                node.kill()
                kills += 1
                traffic.wait_for_more(before)
                newest = list(traffic.seen)[-1]
                if number % 5 == 0:
                    fetch_by_rebar3(front, pem, folder / f"consumer{number}", newest)
                elif mix is not None and number % 5 == 2:
                    mix.publish(f"{prefix}_mix{number}")
                    mix.fetch(f"{prefix}_mix{number}")
                node.start()
                three.wait_until_healthy()
        assert traffic.failed_reads == []
        assert traffic.seen, "nothing was published"
        by_mix = mix.seen if mix is not None else {}
        for node in three:
            for name, checksum in {**traffic.seen, **by_mix}.items():
                assert sha256(fetched(node, name)) == checksum, (node.name, name)
        print(
            f"{program}: {kills} kills, {len(traffic.seen)} publishes, {len(by_mix)} of mix "
            f"({len(mix.refused) if mix else 0} refused), {len(traffic.failed_writes)} refused"
        )


def _private(three: Members, key: str, organization: str) -> Private:
    """A package of an organization that mara made, to be read with her key."""
    three.nodes[0].create_organization(organization, "mara")
    three.nodes[0].must_publish(package("ours"), key, organization)
    reader = three.nodes[0].create_key("mara", f"repository:{organization}", name=organization)
    return Private(f"/repo/repos/{organization}/tarballs/ours-1.0.0.tar", reader)
