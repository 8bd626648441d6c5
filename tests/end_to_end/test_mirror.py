"""A team behind a mirror: rebar3, mix and the command line, with the upstream there, gone, and never.

Two real nodes: one plays the upstream, with a key of its own; the other one mirrors it. Tests stand
in the order of a life: cold, warm, carried away, and in the end without the upstream.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.end_to_end import members
from tests.end_to_end.between import Between, between
from tests.end_to_end.mix import Mix
from tests.end_to_end.node import RunningNode
from tests.end_to_end.packages import (
    Requirement,
    docs_archive,
    mix_project,
    rebar3_project,
    tarball,
)
from tests.end_to_end.rebar3 import Rebar3Project, Repository, require_rebar3

DEPS = '[{trunk, "~> 1.0"}]'
BIG = 6_000_000
"""Bytes of a tarball that is no longer sent in one go."""
BUILD, INSTALL = b"an archive of Hex", "/installs/1.14.0/hex-9.9.9.ez"


@pytest.fixture(scope="module", autouse=True)
def _clients() -> None:
    require_rebar3()


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node with `trunk`, which needs `soil`, `elm`, a mix library, and `fir` and `oak`, which are big."""
    running = RunningNode(tmp_path_factory.mktemp("upstream"), {})
    try:
        running.create_user("author")
        key = running.create_key("author", "api")
        running.must_publish(tarball("soil", "1.0.0", rebar3_project("soil", "1.0.0")), key)
        files = rebar3_project("trunk", "1.0.0", ["soil"])
        needed = {"soil": Requirement("~> 1.0")}
        running.must_publish(tarball("trunk", "1.0.0", files, requirements=needed), key)
        elm = tarball("elm", "1.0.0", mix_project("elm", "1.0.0"), build_tools=["mix"])
        running.must_publish(elm, key)
        sent = running.request(
            "POST",
            "/api/packages/trunk/releases/1.0.0/docs",
            key=key,
            body=docs_archive({"index.html": b"<h1>trunk</h1>"}),
        )
        assert sent.status == 201, sent.body
        for name in ("fir", "oak"):
            files = rebar3_project(name, "1.0.0") | {"priv/noise": random.Random(7).randbytes(BIG)}
            running.must_publish(tarball(name, "1.0.0", files), key)
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def way(upstream: RunningNode) -> Iterator[Between]:
    """What lies between the mirror and its upstream; it adds a build of Hex."""
    with between(upstream.port) as way:
        rows = f"9.9.9,{hashlib.sha512(BUILD).hexdigest()},1.14.0\n".encode()
        way.files |= {
            "/installs/hex-1.x.csv": rows,
            "/installs/hex-1.x.csv.signed": base64.encodebytes(bytes(256)),
            INSTALL: BUILD,
        }
        yield way


@pytest.fixture(scope="module")
def upstream_key(upstream: RunningNode, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("key") / "upstream.pem"
    file.write_text(upstream.public_key())
    return file


def mirroring(url: str, key: Path) -> dict[str, str]:
    """The settings of a mirror of the upstream at a URL."""
    return {
        "UPSTREAM_ENABLED": "true",
        "UPSTREAM_URL": url,
        "UPSTREAM_REPO_URL": url,
        "UPSTREAM_API_URL": url + "/api",
        "UPSTREAM_BUILDS_URL": url,
        "UPSTREAM_PUBLIC_KEY_FILE": str(key),
        "UPSTREAM_RETRY_DELAY": "100",
        "DEPENDENCY_CHECK": "upstream",
    }


@pytest.fixture(scope="module")
def settings(way: Between, upstream_key: Path) -> dict[str, str]:
    return mirroring(way.url, upstream_key)


def _lock(directory: Path) -> Path:
    """A rebar.lock of the project that needs `trunk`."""
    file = directory / "rebar.lock"
    file.write_text(
        '{"1.2.0",\n[{<<"soil">>,{pkg,<<"soil">>,<<"1.0.0">>},1},\n'
        ' {<<"trunk">>,{pkg,<<"trunk">>,<<"1.0.0">>},0}]}.\n'
    )
    return file


def test_the_lines_for_clients_are_printed_at_start(node: RunningNode) -> None:
    lines = (f"HEX_MIRROR={node.url} mix deps.get", f"--url {node.url}/repo --public-key")
    # It answers before all its processes do.
    members.until(lambda: all(line in node.log_text() for line in lines), "lines for clients")


def test_rebar3_fetches_and_compiles_through_the_transparent_mirror(
    node: RunningNode, upstream_key: Path, tmp_path: Path
) -> None:
    """Nothing but the address changes: the client keeps the key of the upstream."""
    repository = Repository("hexpm", node.url, upstream_key.read_text())
    project = Rebar3Project(tmp_path, DEPS, [repository])
    output = project.run("compile")
    assert output.code == 0, output.text
    assert project.fetched() == {"trunk", "soil"}
    assert project.compiled("trunk")


def test_rebar3_finds_own_and_upstream_packages_on_one_shelf(
    node: RunningNode, mara: str, tmp_path: Path
) -> None:
    files = rebar3_project("mine", "0.1.0", ["soil"])
    needed = {"soil": Requirement("~> 1.0")}
    node.must_publish(tarball("mine", "0.1.0", files, requirements=needed), mara)
    repository = Repository("hexpm", node.url + "/repo", node.public_key())
    project = Rebar3Project(tmp_path, '[{mine, "~> 0.1"}, {trunk, "~> 1.0"}]', [repository])
    output = project.run("compile")
    assert output.code == 0, output.text
    assert project.fetched() == {"mine", "trunk", "soil"}


def test_mix_fetches_through_the_transparent_mirror_and_from_the_shelf(
    node: RunningNode, upstream_key: Path, tmp_path: Path
) -> None:
    hub_key = tmp_path / "hub.pem"
    hub_key.write_text(node.public_key())
    _mix_fetches(tmp_path / "root", upstream_key, {"HEX_MIRROR": node.url}, [])
    shelf = ["--url", node.url + "/repo"]
    _mix_fetches(tmp_path / "shelf", hub_key, {}, shelf)


def _mix_fetches(directory: Path, key: Path, variables: dict[str, str], options: list[str]) -> None:
    mix = Mix(directory / "home", variables)
    project = directory / "consumer"
    project.mkdir(parents=True)
    (project / "mix.exs").write_text(
        "defmodule Consumer.MixProject do\n  use Mix.Project\n"
        '  def project, do: [app: :consumer, version: "0.1.0", deps: [{:elm, "~> 1.0"}]]\n'
        "  def application, do: []\nend\n"
    )
    mix.run(project, "hex.repo", "set", "hexpm", "--public-key", str(key), *options)
    mix.run(project, "deps.get")
    assert (project / "deps" / "elm" / "mix.exs").exists()
    assert '"hexpm"' in (project / "mix.lock").read_text()


def test_a_name_of_the_upstream_is_the_operators_to_allow(node: RunningNode, mara: str) -> None:
    body = tarball("trunk", "9.0.0", rebar3_project("trunk", "9.0.0"))
    refused = node.publish(body, mara)
    assert refused.status == 422
    assert "an administrator can allow it" in refused.body.decode()
    assert "trunk" not in node.command("package", "allowed")
    node.command("package", "allow", "hexpm/trunk", "--wins", "upstream")
    assert node.publish(body, mara).status == 201
    assert "hexpm/trunk" in node.command("package", "allowed")
    assert node.try_command("package", "allow", "nowhere/trunk").code == 3
    assert node.try_command("package", "allow", "trunk").code == 2


def test_names_are_reserved_by_a_pattern(node: RunningNode) -> None:
    node.command("package", "reserve", "acme_*")
    assert node.command("package", "reserved") == "acme_*"
    assert node.request("GET", "/packages/acme_core").status == 404
    node.command("package", "release", "acme_*")
    assert node.try_command("package", "release", "acme_*").code == 3
    assert node.try_command("package", "reserve", "*").code == 5


def test_rules_are_tried_set_explained_and_taken_back(node: RunningNode, tmp_path: Path) -> None:
    lock = str(_lock(tmp_path))
    tried = node.try_command("rules", "test", "--lock", lock, "--deny", "soil")
    assert (tried.code, "1 of 2" in tried.text) == (5, True)
    assert node.command("rules", "list") == "no rules"
    node.command("rules", "deny", "soil", "--version", "< 2.0.0")
    node.command("rules", "cooldown", "7d")
    assert "soil 1.0.0 refused by 'deny soil < 2.0.0'" in node.command(
        "rules", "explain", "soil", "1.0.0"
    )
    assert "refused by 'cooldown *'" in node.command("rules", "explain", "trunk", "1.0.0")
    node.command("rules", "allow", "trunk")
    assert "passes" in node.command("rules", "explain", "trunk", "1.0.0")
    refused = node.request("GET", "/tarballs/soil-1.0.0.tar")
    assert (refused.status, "deny soil" in refused.headers["x-hex-message"]) == (403, True)
    assert node.request("GET", "/tarballs/trunk-1.0.0.tar").status == 200
    for rule in json.loads(node.command("rules", "list", "--json")):
        node.command("rules", "remove", rule["id"])
    assert node.request("GET", "/tarballs/soil-1.0.0.tar").status == 200
    assert node.try_command("rules", "remove", "deny soil").code == 3
    assert node.try_command("rules", "cooldown", "soon").code == 5


def test_all_that_a_project_needs_is_fetched_ahead(node: RunningNode, tmp_path: Path) -> None:
    lock = str(_lock(tmp_path))
    for _ in range(2):  # what is there is not fetched again
        said = json.loads(node.command("mirror", "add", "--lock", lock, "--with-docs", "--json"))
        assert said.get("failed", 0) == said.get("missing", 0) == 0
    assert said["had"] == 7  # names, versions, and of both packages registry, tarball; one docs
    assert [row["why"] for row in said["files"] if row["status"] == "skipped"] == ["it has no docs"]
    shown = node.command("mirror", "show", "trunk")
    assert "tarballs/trunk-1.0.0.tar" in shown
    assert "docs/trunk-1.0.0.tar.gz" in shown
    assert "trunk" in node.command("mirror", "list")
    assert "circuit closed" in node.command("mirror", "stats")
    assert "0 damaged" in node.command("mirror", "verify")


def test_what_cannot_be_fetched_ahead_is_named_and_the_exit_code_tells(
    node: RunningNode, tmp_path: Path
) -> None:
    lock = tmp_path / "mix.lock"
    lock.write_text(
        f'%{{\n  "soil": {{:hex, :soil, "1.0.0", "{"0" * 64}", [:rebar3], [], "hexpm", "{"0" * 64}"}},\n'
        f'  "not_there": {{:hex, :not_there, "1.0.0", "{"0" * 64}", [:mix], [], "hexpm"}},\n'
        '  "forked": {:git, "https://example.org/forked.git", "abc", []},\n}\n'
    )
    output = node.try_command("mirror", "add", "--lock", str(lock))
    assert output.code == 1
    assert "the lock file has another checksum" in output.stdout
    assert "not_there" in output.stdout
    assert "forked (git)" in output.stdout
    (tmp_path / "bad.lock").write_text("<html>")
    assert node.try_command("mirror", "add", "--lock", str(tmp_path / "bad.lock")).code == 2


def test_kept_copies_are_evicted_by_name_and_by_quota(node: RunningNode) -> None:
    before = node.command("mirror", "show", "soil")
    assert "would go" in node.command("mirror", "evict", "soil", "--dry-run")
    assert node.command("mirror", "show", "soil") == before
    node.command("mirror", "evict", "soil")
    assert node.try_command("mirror", "show", "soil").code == 3
    assert node.request("GET", "/tarballs/soil-1.0.0.tar").headers["x-cache"] == "MISS"
    node.command("mirror", "evict", "--quota", "0")
    assert "tarballs/" not in node.command("mirror", "show", "soil")
    assert node.request("GET", "/repo/packages/mine").status == 200
    assert node.request("GET", "/repo/tarballs/mine-0.1.0.tar").status == 200
    assert node.try_command("mirror", "evict").code == 2


@pytest.fixture(scope="module")
def bundle(node: RunningNode, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the mirror exports once it has all that the project needs, and a build of Hex."""
    assert node.request("GET", INSTALL).status == 200
    folder = tmp_path_factory.mktemp("bundle")
    node.command("mirror", "add", "--lock", str(_lock(folder)), "--with-docs")
    file = folder / "mirror.tar"
    node.command("mirror", "export", str(file))
    return file


def test_a_mirror_is_carried_over_an_air_gap_and_verified_on_the_other_side(
    bundle: Path, upstream: RunningNode, upstream_key: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    inside = RunningNode(folder, mirroring(upstream.url, upstream_key) | {"OFFLINE": "true"})
    try:
        assert inside.request("GET", "/packages/trunk").status == 503
        said = json.loads(inside.command("mirror", "import", str(bundle), "--json"))
        assert said["wanted"] == said["fetched"] > 6
        again = json.loads(inside.command("mirror", "import", str(bundle), "--json"))
        assert again["had"] == again["wanted"]
        repository = Repository("hexpm", inside.url, upstream_key.read_text())
        project = Rebar3Project(tmp_path / "client", DEPS, [repository])
        output = project.run("compile")
        assert output.code == 0, output.text
        assert project.fetched() == {"trunk", "soil"}
        assert inside.request("GET", INSTALL).body == BUILD
        assert "offline by intention" in inside.command("mirror", "stats")
    finally:
        assert inside.stop() == 0


def test_an_export_that_was_changed_on_the_way_is_refused(
    bundle: Path, upstream: RunningNode, upstream_key: Path, tmp_path: Path
) -> None:
    data = bytearray(bundle.read_bytes())
    at = data.index(b"files/packages/soil") + 512 + 100
    data[at] ^= 1
    changed = tmp_path / "changed.tar"
    changed.write_bytes(data)
    folder = tmp_path / "inside"
    folder.mkdir()
    inside = RunningNode(folder, mirroring(upstream.url, upstream_key) | {"OFFLINE": "true"})
    try:
        output = inside.try_command("mirror", "import", str(changed))
        assert output.code == 1
        assert "packages/soil" in output.stdout
        assert inside.request("GET", "/packages/soil").status == 503
        (tmp_path / "no.tar").write_bytes(b"no")
        assert inside.try_command("mirror", "import", str(tmp_path / "no.tar")).code == 2
    finally:
        assert inside.stop() == 0


@pytest.mark.long
def test_a_rule_holds_in_every_process_of_a_node_from_the_moment_that_it_is_set(
    upstream: RunningNode, upstream_key: Path, tmp_path: Path
) -> None:
    """Each request is a connection of its own, so the kernel spreads them over the processes."""
    several = RunningNode(tmp_path, mirroring(upstream.url, upstream_key) | {"WORKERS": "3"})
    paths = ("/tarballs/soil-1.0.0.tar", "/repo/tarballs/soil-1.0.0.tar", "/repo/packages/soil")
    try:
        for _ in range(20):
            assert {several.request("GET", path).status for path in paths} == {200}
        several.command("rules", "deny", "soil")
        for _ in range(20):
            for method in ("GET", "HEAD"):
                found = [several.request(method, path) for path in paths]
                assert {answer.status for answer in found} == {403}
        several.command("rules", "remove", "deny soil")
        assert {several.request("GET", path).status for path in paths} == {200}
    finally:
        assert several.stop() == 0


def _nothing_is_left_of(node: RunningNode, path: str) -> None:
    assert path.removeprefix("/") not in node.command("mirror", "list", "--json")
    assert list((Path(node.environment["DATA_DIR"]) / "spool").iterdir()) == []


@pytest.mark.long
@pytest.mark.parametrize("path", ["/packages/fir", "/tarballs/fir-1.0.0.tar"])
def test_rebar3_fails_when_the_upstream_is_killed_in_mid_fetch_and_goes_on_when_it_is_back(
    node: RunningNode,
    upstream: RunningNode,
    upstream_key: Path,
    way: Between,
    tmp_path: Path,
    path: str,
) -> None:
    """It must not wait for ever: its HTTP client repeats by itself what says to come again soon."""
    repository = Repository("hexpm", node.url, upstream_key.read_text())
    project = Rebar3Project(tmp_path, '[{fir, "~> 1.0"}]', [repository])
    way.hold(path)
    with project.start("get-deps") as client:
        try:
            way.wait_for_the_middle()
            upstream.kill()
            way.let_go.set()
            said, _ = client.communicate(timeout=60)
        finally:
            client.kill()
    assert client.returncode != 0, said
    assert project.fetched() == set()
    _nothing_is_left_of(node, path)
    upstream.restart()
    members.until(lambda: node.request("GET", path).status == 200, "the upstream is found again")
    if path.startswith("/tarballs/"):
        output = project.run("get-deps")
        assert (output.code, project.fetched()) == (0, {"fir"}), output.text


def test_an_upstream_that_is_killed_in_mid_fetch_leaves_nothing_behind(
    node: RunningNode, upstream: RunningNode, way: Between, bundle: Path
) -> None:
    """It stays dead for the tests that follow; `bundle` leaves all that they need."""
    path = "/tarballs/oak-1.0.0.tar"
    way.hold(path)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(node.request, "GET", path)
        way.wait_for_the_middle()
        upstream.kill()
        way.let_go.set()
        answer = waiting.result()
    assert (answer.status, "retry-after" in answer.headers) == (503, True)
    _nothing_is_left_of(node, path)


def test_the_upstream_dies_and_new_machines_still_fetch(
    node: RunningNode, upstream: RunningNode, upstream_key: Path, bundle: Path, tmp_path: Path
) -> None:
    """`bundle` is asked for because it leaves everything kept."""
    upstream.kill()  # unless it is dead already
    for base, pem in (("", upstream_key.read_text()), ("/repo", node.public_key())):
        repository = Repository("hexpm", node.url + base, pem)
        project = Rebar3Project(tmp_path / f"client{len(base)}", DEPS, [repository])
        output = project.run("compile")
        assert output.code == 0, output.text
        assert project.fetched() == {"trunk", "soil"}
    missing = node.request("GET", "/packages/never_asked")
    assert missing.status == 503
    assert missing.headers["retry-after"]
    assert node.request("GET", "/health").status == 200


def test_a_node_that_starts_without_its_upstream_serves_what_it_has(
    node: RunningNode, bundle: Path
) -> None:
    node.stop()
    node.restart()
    assert node.request("GET", "/tarballs/trunk-1.0.0.tar").status == 200
    answer = node.request("GET", "/packages/trunk")
    assert answer.status == 200
    assert node.request("GET", "/repo/packages/mine").status == 200
