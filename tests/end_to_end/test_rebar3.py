"""rebar3 resolves dependency trees from the signed registry and fetches them."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.end_to_end.node import RunningNode
from tests.end_to_end.packages import Requirement, rebar3_project, tarball
from tests.end_to_end.rebar3 import Rebar3Project, Repository, require_rebar3
from tests.end_to_end.rebar3_hex import Rebar3Hex
from tests.end_to_end.registry import read_package


@pytest.fixture(autouse=True, scope="module")
def _rebar3() -> None:
    require_rebar3()


@pytest.fixture(scope="module", autouse=True)
def tree(node: RunningNode, mara: str) -> None:
    """trunk → bough, leaf_fork (application `leaf`); bough → root_stock → soil; moss is optional."""
    plugin = Rebar3Hex(node, mara)
    for version in ("0.9.0", "1.0.0", "1.2.0", "2.0.0"):
        _publish(plugin, "soil", version)
    _publish(plugin, "moss", "1.0.0")
    _publish(plugin, "root_stock", "1.0.3", soil=Requirement("~> 1.0"))
    _publish(plugin, "leaf_fork", "3.1.4", app="leaf", moss=Requirement("~> 1.0", optional=True))
    _publish(plugin, "bough", "1.1.0", root_stock=Requirement("~> 1.0.0"))
    _publish(
        plugin,
        "trunk",
        "2.5.0",
        bough=Requirement("~> 1.0"),
        leaf_fork=Requirement("~> 3.1", app="leaf"),
        moss=Requirement(">= 0.1.0", optional=True),
    )


def _publish(
    plugin: Rebar3Hex, name: str, version: str, app: str | None = None, **needed: Requirement
) -> None:
    """Publish a rebar3 library; it starts the applications that it does not only like to have."""
    started = [each.app or dep for dep, each in needed.items() if not each.optional]
    files = rebar3_project(app or name, version, started)
    plugin.must_publish(name, tarball(name, version, files, app=app, requirements=needed))


@pytest.fixture(scope="module")
def private(node: RunningNode, mara: str, tree: None) -> None:
    """The organization `acme` with `vault`, which needs the public `soil`."""
    node.create_organization("acme", admin="mara")
    vault = tarball(
        "vault",
        "0.1.0",
        rebar3_project("vault", "0.1.0", ["soil"]),
        requirements={"soil": Requirement("~> 1.0", repository="hexpm")},
    )
    node.must_publish(vault, mara, "acme")


def _public(node: RunningNode, base: str = "/repo") -> Repository:
    return Repository("hexpm", node.url + base, node.public_key())


def _acme(node: RunningNode, key: str | None) -> Repository:
    return Repository("acme", node.url + "/repos/acme", node.public_key(), key)


@pytest.mark.parametrize("base", ["", "/repo"], ids=["root", "repo"])
def test_a_tree_with_optional_and_renamed_dependencies_is_resolved_and_compiled(
    node: RunningNode, tmp_path: Path, base: str
) -> None:
    project = Rebar3Project(tmp_path, '[{trunk, "~> 2.0"}]', [_public(node, base)])
    output = project.run("compile")
    assert output.code == 0, output.text
    fetched = project.fetched() - {"moss"}  # to fetch an optional one is the client's choice
    assert fetched == {"trunk", "bough", "leaf", "root_stock", "soil"}
    assert all(project.compiled(app) for app in fetched)


def test_the_highest_release_that_satisfies_the_requirements_is_locked_with_its_checksums(
    node: RunningNode, tmp_path: Path
) -> None:
    project = Rebar3Project(tmp_path, '[{root_stock, "~> 1.0"}]', [_public(node)])
    output = project.run("get-deps")
    assert output.code == 0, output.text
    assert project.run("lock").code == 0
    lock = project.lock()
    assert '<<"soil">>,<<"1.2.0">>' in lock
    soil = read_package(node.request("GET", "/repo/packages/soil").body, node.public_key())
    checksums = {each.version: each.outer_checksum for each in soil.releases}
    assert checksums["1.2.0"].upper() in lock


def test_the_registry_tells_optional_and_renamed_dependencies(node: RunningNode) -> None:
    trunk = read_package(node.request("GET", "/repo/packages/trunk").body, node.public_key())
    assert (trunk.name, trunk.repository) == ("trunk", "hexpm")
    (release,) = trunk.releases
    told = {each.package: each for each in release.dependencies}
    assert {name: (each.app, each.optional) for name, each in told.items()} == {
        "bough": (None, False),
        "leaf_fork": ("leaf", False),
        "moss": (None, True),
    }
    assert {each.repository for each in release.dependencies} == {None}


def test_a_release_published_a_moment_ago_is_found_at_once(
    node: RunningNode, mara: str, tmp_path: Path
) -> None:
    node.must_publish(tarball("dew", "0.0.1", rebar3_project("dew", "0.0.1")), mara)
    project = Rebar3Project(tmp_path, '[{dew, "0.0.1"}]', [_public(node)])
    output = project.run("get-deps")
    assert output.code == 0, output.text
    assert project.fetched() == {"dew"}


def test_a_private_package_and_its_public_dependency_are_fetched_with_a_key(
    node: RunningNode, private: None, tmp_path: Path
) -> None:
    key = node.create_key("mara", "repository:acme", name="acme-reader")
    project = Rebar3Project(tmp_path, '[{vault, "~> 0.1"}]', [_acme(node, key), _public(node)])
    output = project.run("compile")
    assert output.code == 0, output.text
    assert project.fetched() == {"vault", "soil"}
    assert project.compiled("vault")


@pytest.mark.parametrize("key", ["0" * 32, None], ids=["wrong key", "no key"])
def test_a_private_package_cannot_be_fetched_without_its_key(
    node: RunningNode, private: None, tmp_path: Path, key: str | None
) -> None:
    project = Rebar3Project(tmp_path, '[{vault, "~> 0.1"}]', [_acme(node, key), _public(node)])
    output = project.run("get-deps")
    assert output.code != 0
    assert "vault" in output.text
    assert "Uncaught error" not in output.text
    assert project.fetched() == set()


def test_a_key_that_may_not_read_the_organization_learns_no_more_than_a_stranger(
    node: RunningNode, private: None, mara: str
) -> None:
    """registry.md §7: 404 for a private name, the same as for one that does not exist."""
    real = node.request("GET", "/repos/acme/packages/vault", key=mara)
    unknown = node.request("GET", "/repos/acme/packages/nothing", key=mara)
    nowhere = node.request("GET", "/repos/nowhere/packages/vault", key=mara)
    stranger = node.request("GET", "/repos/acme/packages/vault")
    assert [each.status for each in (real, unknown, nowhere, stranger)] == [404] * 4
    assert real.body == unknown.body == nowhere.body == stranger.body


def test_a_registry_of_another_key_is_refused_by_the_client(
    node: RunningNode, tmp_path: Path
) -> None:
    other = rsa.generate_private_key(65537, 2048).public_key()
    pem = other.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()
    project = Rebar3Project(
        tmp_path, '[{soil, "~> 1.0"}]', [Repository("hexpm", node.url + "/repo", pem)]
    )
    assert project.run("get-deps").code != 0
    assert project.fetched() == set()


def test_an_unchanged_tarball_is_not_sent_again(node: RunningNode) -> None:
    """rebar3 fails on a tarball without ETag and asks with it later (registry.md §5)."""
    path = "/repo/tarballs/soil-1.2.0.tar"
    first = node.request("GET", path, headers={"if-none-match": ""})
    assert first.status == 200
    again = node.request("GET", path, headers={"if-none-match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
