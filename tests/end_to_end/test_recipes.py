"""The mirror's recipes in the README, line by line, with mix and rebar3 as a clean machine has them.

The upstream is a node with a key of its own, and builds of Hex and rebar3 that are signed by a key
that the clients were told to trust: what hex.pm signs cannot be had here. No container is made; the
lines of the image and of the workflow run in an empty directory with an empty environment.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

from tests.end_to_end.between import Between, between
from tests.end_to_end.clean import HUB, Builds, Checkout, Machine, blocks
from tests.end_to_end.mix import missing_mix, mix_home
from tests.end_to_end.node import ROOT, RunningNode, request
from tests.end_to_end.packages import mix_project, rebar3_project, tarball
from tests.end_to_end.rebar3 import Repository, require_rebar3
from tests.end_to_end.test_mirror import mirroring
from tests.ports import free_ports

pytestmark = pytest.mark.long

README = (ROOT / "README.md").read_text()
START, CLIENTS = "./scripts/cluster.sh start", "mix local.hex"
PROJECT = (
    "defmodule Consumer.MixProject do\n  use Mix.Project\n"
    '  def project, do: [app: :consumer, version: "0.1.0", deps: [{:elm, "~> 1.0"}]]\n'
    "  def application, do: []\nend\n"
)


@dataclass
class Lab:
    """An upstream, the way to it, builds of the clients, and a place for machines."""

    upstream: RunningNode
    upstream_key: str
    way: Between
    builds: Builds
    folder: Path

    def hub(self, name: str) -> Hub:
        """A machine with a checkout and nothing running."""
        port, cluster_port = free_ports(2)
        checkout = Checkout(self.folder / name / "hub")
        key = self.folder / name / "upstream.pem"
        key.write_text(self.upstream_key)
        variables = mirroring(self.way.url, key) | {
            "PORT": str(port),
            "CLUSTER_PORT": str(cluster_port),
        }
        machine = Machine(self.folder / name / "home", checkout.root, variables)
        return Hub(machine, port)

    def client(self, name: str) -> Machine:
        """A machine that trusts the upstream, with a project that needs `elm` and `trunk`."""
        project = self.folder / name / "project"
        (project / "src").mkdir(parents=True)
        (project / "mix.exs").write_text(PROJECT)
        (project / "src" / "consumer.app.src").write_text(
            '{application,consumer,[{vsn,"0.1.0"},{applications,[kernel,stdlib]}]}.\n'
        )
        repository = Repository("hexpm", "http://unused", self.upstream_key).term()
        (project / "rebar.config").write_text(
            f'{{deps, [{{trunk, "~> 1.0"}}]}}.\n{{hex, [{{repos, replace, [{repository}]}}]}}.\n'
        )
        machine = Machine(self.folder / name / "home", project, {})
        machine.trusts(self.builds.public_key, self.upstream_key)
        return machine


@dataclass
class Hub:
    """A checkout from which one node runs."""

    machine: Machine
    port: int

    def lines(self, text: str) -> str:
        """Lines of the README with this hub's address for the one that stands there."""
        text = text.replace(HUB, f"http://127.0.0.1:{self.port}")
        text = text.replace("http://localhost:4000", f"http://127.0.0.1:{self.port}")
        return text.replace("HEXHUB_HOST=0.0.0.0", "HEXHUB_HOST=127.0.0.1")

    def run(self, text: str) -> str:
        return self.machine.run(self.lines(text))

    def stop(self) -> None:
        self.machine.try_run("./scripts/cluster.sh stop --all")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    require_rebar3()
    if reason := missing_mix():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("lab")
    upstream = RunningNode(tmp_path_factory.mktemp("upstream"), {})
    try:
        upstream.create_user("author")
        key = upstream.create_key("author", "api")
        elm = tarball("elm", "1.0.0", mix_project("elm", "1.0.0"), build_tools=["mix"])
        upstream.must_publish(elm, key)
        upstream.must_publish(tarball("trunk", "1.0.0", rebar3_project("trunk", "1.0.0")), key)
        with between(upstream.port) as way:
            builds = Builds()
            way.files |= builds.files
            yield Lab(upstream, upstream.public_key(), way, builds, folder)
    finally:
        upstream.stop()


@pytest.fixture(scope="module")
def hub(lab: Lab) -> Iterator[Hub]:
    """The hub of the firewall's recipe, started as it says."""
    found = lab.hub("outside")
    (start, *_) = [text for _, text in blocks(README, "**Behind a firewall**") if START in text]
    try:
        found.run(start)
        yield found
    finally:
        found.stop()


def _fetched(machine: Machine, directory: Path | None = None) -> None:
    """Everything was fetched, by a Hex and a rebar3 that came through the hub."""
    assert ((directory or machine.directory) / "deps" / "elm" / "mix.exs").exists()
    assert (machine.home / ".mix" / "archives" / "hex-9.9.9").is_dir()
    assert list((machine.home / ".mix").rglob("rebar3"))


def test_behind_a_firewall(lab: Lab, hub: Hub) -> None:
    client = lab.client("developer")
    (lines,) = [text for _, text in blocks(README, "**Behind a firewall**") if CLIENTS in text]
    client.run(hub.lines(lines))
    _fetched(client)
    assert (client.directory / "_build/default/lib/trunk/src/trunk.erl").exists()


def test_in_an_image(lab: Lab, hub: Hub) -> None:
    """Every instruction but FROM, in the order in which they stand."""
    client = lab.client("image")
    client.run(
        f"HEX_MIRROR=http://127.0.0.1:{hub.port} MIX_HOME={mix_home()} mix deps.get && rm -r deps"
    )
    context, root = client.directory, lab.folder / "image" / "root"
    root.mkdir()
    client.directory = root
    ((language, text),) = blocks(README, "**Docker**")
    assert language == "dockerfile"
    for line in hub.lines(text).splitlines():
        instruction, _, rest = line.partition(" ")
        match instruction:
            case "ARG" | "ENV":
                for name, value in re.findall(r"(\w+)=(\S+)", rest):
                    known = client.environment
                    client.environment[name] = Template(value).substitute(known)
            case "WORKDIR":
                client.directory = root / rest.lstrip("/")
                client.directory.mkdir()
            case "COPY":
                *files, where = rest.split()
                for each in files:
                    shutil.copy(context / each, client.directory / where)
            case "RUN":
                client.run(rest)
            case _:
                assert instruction == "FROM", line
    _fetched(client)


def test_in_a_workflow(lab: Lab, hub: Hub) -> None:
    """The steps of the job with its variables; the checkout is the project's directory."""
    client = lab.client("runner")
    ((language, text),) = blocks(README, "**GitHub Actions**")
    assert language == "yaml"
    workflow: dict[Any, Any] = yaml.safe_load(hub.lines(text))
    client.environment |= workflow["env"]
    ran = 0
    for step in workflow["jobs"]["test"]["steps"]:
        if "run" in step:
            client.run(step["run"])
            ran += 1
        else:
            assert step["uses"].startswith("actions/checkout@")
    assert ran == 2
    _fetched(client)


def test_over_an_air_gap(lab: Lab, hub: Hub) -> None:
    """The upstream is out of reach before the inside begins, and nobody asks for it."""
    outside, inside = (text for _, text in blocks(README, "**Air gap**"))
    client = lab.client("outside_client")
    client.run(f"HEX_MIRROR=http://127.0.0.1:{hub.port} MIX_HOME={mix_home()} mix deps.get")
    shutil.copy(client.directory / "mix.lock", hub.machine.directory)
    hub.machine.environment["HOME"] = str(client.home)
    hub.run(outside)
    lab.way.requests.clear()
    far = lab.hub("inside")
    shutil.copy(hub.machine.directory / "mirror.tar", far.machine.directory)
    start, take, *rest = inside.splitlines(keepends=True)
    isolated = lab.client("inside_client")
    try:
        far.run(start + take)
        isolated.run(far.lines("".join(rest)))
        assert request(far.port, "GET", "/packages/oak").status == 503
    finally:
        far.stop()
    _fetched(isolated)
    assert lab.way.requests.total() == 0


def test_builds_of_somebody_who_is_not_trusted_are_refused_by_mix(lab: Lab, hub: Hub) -> None:
    stranger = Machine(lab.folder / "stranger", lab.folder, {})
    mirror = f"HEX_MIRROR=http://127.0.0.1:{hub.port}"
    for command in ("mix local.hex --force", "mix local.rebar --force"):
        output = stranger.try_run(f"{mirror} {command}")
        assert output.code != 0, output.text
    assert not (stranger.home / ".mix" / "archives").exists()
