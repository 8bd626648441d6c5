"""mix with the real Hex client publishes, resolves, fetches and manages packages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end.mix import Mix, missing_mix, write_project
from tests.end_to_end.node import RunningNode
from tests.end_to_end.packages import Requirement, mix_project, tarball
from tests.end_to_end.registry import read_package

pytestmark = pytest.mark.skipif(missing_mix() is not None, reason=missing_mix() or "")


@dataclass(frozen=True)
class Bench:
    """Two developers and a place for their projects."""

    publisher: Mix  # HEX_API_URL and HEX_API_KEY, `hexpm` set to this hub, and `hub` added
    member: Mix  # only `hub` added; hexpm is mirrored
    projects: Path


@pytest.fixture(scope="module")
def bench(node: RunningNode, mara: str, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    root = tmp_path_factory.mktemp("mix")
    node.create_organization("acme", admin="mara")
    pem = root / "hub.pem"
    pem.write_bytes(node.request("GET", "/public_key").body)
    api = {"HEX_API_URL": node.url + "/api"}
    publisher = Mix(root / "publisher", {**api, "HEX_API_KEY": mara})
    url = node.url + "/repo"
    publisher.run(root, "hex.repo", "set", "hexpm", "--url", url, "--public-key", str(pem))
    member = Mix(root / "member", {"HEX_MIRROR": node.url})
    reader = node.create_key("mara", "repository:acme", name="mix-reader")
    pinned = ("--fetch-public-key", node.fingerprint(), "--auth-key", reader)
    for developer in (publisher, member):
        developer.run(root, "hex.repo", "add", "hub", node.url, *pinned)
    return Bench(publisher, member, root)


@pytest.fixture(scope="module")
def published(bench: Bench) -> str:
    """What mix printed while publishing `seed` and its docs, and then `sprout`, which needs it."""
    seed = write_project(bench.projects, "seed", "1.0.0", docs="<h1>Seed</h1>")
    printed = bench.publisher.run(seed, "hex.publish", "--yes")
    sprout = write_project(bench.projects, "sprout", "0.2.1", '[{:seed, "~> 1.0"}]')
    bench.publisher.run(sprout, "deps.get")
    printed += bench.publisher.run(sprout, "hex.publish", "package", "--yes")
    return printed


@pytest.fixture(scope="module")
def private(bench: Bench, published: str) -> None:
    """`acme`'s packages `kernel_oil` and `press`, which needs that one and the public `seed`."""
    organization = ("--organization", "acme")
    oil = write_project(bench.projects, "kernel_oil", "0.1.0")
    bench.publisher.run(oil, "hex.publish", *organization, "--yes")
    deps = '[{:kernel_oil, "~> 0.1", repo: "hub:acme"}, {:seed, "~> 1.0"}]'
    press = write_project(bench.projects, "press", "0.3.0", deps)
    bench.publisher.run(press, "deps.get")
    bench.publisher.run(press, "hex.publish", "package", *organization, "--yes")


def test_a_package_and_its_docs_are_published(node: RunningNode, published: str) -> None:
    assert f"Package published to {node.url}/packages/seed/1.0.0" in published
    assert f"Docs will soon be available at {node.url}/docs/seed-1.0.0.tar.gz" in published
    release = node.request("GET", "/api/packages/seed/releases/1.0.0").json()
    assert release["has_docs"] is True
    assert release["meta"] == {"app": "seed", "build_tools": ["mix"], "elixir": None}
    assert release["publisher"]["username"] == "mara"
    told = read_package(node.request("GET", "/repo/packages/sprout").body, node.public_key())
    dependencies = [(each.package, each.requirement) for each in told.releases[0].dependencies]
    assert dependencies == [("seed", "~> 1.0")]


def test_a_public_tree_is_fetched_from_the_one_shelf_and_runs(
    node: RunningNode, bench: Bench, published: str, tmp_path: Path
) -> None:
    project = write_project(tmp_path, "garden", "0.1.0", '[{:sprout, "~> 0.2"}]')
    bench.publisher.run(project, "deps.get")
    lock = (project / "mix.lock").read_text()
    seed = read_package(node.request("GET", "/repo/packages/seed").body, node.public_key())
    assert f'"hexpm", "{seed.releases[0].outer_checksum}"' in lock
    printed = bench.publisher.run(project, "run", "-e", "IO.puts(Seed.answer())")
    assert "seed 1.0.0" in printed


def test_a_private_package_is_fetched_from_the_hub_as_an_organization_of_it(
    bench: Bench, private: None, tmp_path: Path
) -> None:
    deps = '[{:kernel_oil, "~> 0.1", repo: "hub:acme"}]'
    project = write_project(tmp_path, "kitchen", "0.1.0", deps)
    bench.member.run(project, "deps.get")
    assert '"hub:acme"' in (project / "mix.lock").read_text()
    assert (project / "deps" / "kernel_oil" / "lib" / "kernel_oil.ex").exists()


def test_a_private_package_brings_its_private_and_its_public_dependencies(
    node: RunningNode, bench: Bench, private: None, tmp_path: Path
) -> None:
    project = write_project(tmp_path, "mill", "0.1.0", '[{:press, "~> 0.3", repo: "hub:acme"}]')
    bench.publisher.run(project, "deps.get")
    assert {each.name for each in (project / "deps").iterdir()} == {"press", "kernel_oil", "seed"}
    release = node.request("GET", "/api/repos/acme/packages/press/releases/0.3.0")
    assert release.status == 404, "private, so unknown to a stranger"


def test_an_optional_dependency_stays_out_and_a_renamed_one_comes(
    node: RunningNode, mara: str, bench: Bench, tmp_path: Path
) -> None:
    for name, app in (("moss", "moss"), ("fern_fork", "fern")):
        files = mix_project(app, "1.0.0")
        node.must_publish(tarball(name, "1.0.0", files, app=app, build_tools=["mix"]), mara)
    needed = {
        "moss": Requirement("~> 1.0", optional=True),
        "fern_fork": Requirement("~> 1.0", app="fern"),
    }
    rock = mix_project("rock", "1.0.0", '[{:fern, "~> 1.0", hex: :fern_fork}]')
    node.must_publish(
        tarball("rock", "1.0.0", rock, requirements=needed, build_tools=["mix"]), mara
    )
    project = write_project(tmp_path, "garden", "0.1.0", '[{:rock, "~> 1.0"}]')
    bench.publisher.run(project, "deps.get")
    assert {each.name for each in (project / "deps").iterdir()} == {"rock", "fern"}


def test_a_private_package_is_not_there_without_a_key(
    node: RunningNode, bench: Bench, private: None, tmp_path: Path
) -> None:
    stranger = Mix(tmp_path / "home", {"HEX_MIRROR": node.url})
    pinned = ("--fetch-public-key", node.fingerprint())
    stranger.run(tmp_path, "hex.repo", "add", "hub", node.url, *pinned)
    deps = '[{:kernel_oil, "~> 0.1", repo: "hub:acme"}]'
    project = write_project(tmp_path, "kitchen", "0.1.0", deps)
    output = stranger.try_run(project, "deps.get")
    assert output.code != 0
    assert "kernel_oil" in output.text
    assert not (project / "deps" / "kernel_oil").exists()


def test_another_fingerprint_is_refused_by_the_client(
    node: RunningNode, bench: Bench, tmp_path: Path
) -> None:
    wrong = "SHA256:" + "A" * 43
    stranger = Mix(tmp_path / "home")
    output = stranger.try_run(
        tmp_path, "hex.repo", "add", "hub", node.url, "--fetch-public-key", wrong
    )
    assert output.code != 0
    assert "Public key fingerprint mismatch" in output.text


def test_info_shows_a_package_and_a_release(bench: Bench, published: str) -> None:
    package = bench.publisher.run(bench.projects, "hex.info", "sprout")
    assert "The library sprout" in package
    assert 'Config: {:sprout, "~> 0.2.1"}' in package
    assert "Licenses: Apache-2.0" in package
    assert "Home: https://example.org/sprout" in package
    release = bench.publisher.run(bench.projects, "hex.info", "sprout", "0.2.1")
    assert "seed ~> 1.0" in release
    assert "Published by: mara" in release


def test_info_of_an_unknown_package_says_so(bench: Bench) -> None:
    output = bench.publisher.try_run(bench.projects, "hex.info", "no_such_package")
    assert output.code == 1
    assert "No package with name no_such_package" in output.text


def test_search_finds_public_packages_and_those_of_the_own_organization(
    node: RunningNode, bench: Bench, published: str, private: None
) -> None:
    found = bench.publisher.run(bench.projects, "hex.package", "search", "sprou")
    assert "The library sprout" in found
    assert f"{node.url}/packages/sprout" in found
    found = bench.publisher.run(bench.projects, "hex.package", "search", "kernel")
    assert "acme" in found
    assert "kernel_oil" in found
    stranger = Mix(bench.projects / "searcher", {"HEX_API_URL": node.url + "/api"})
    nothing = stranger.run(bench.projects, "hex.package", "search", "kernel")
    assert "No packages found" in nothing


def test_an_owner_is_added_and_listed(node: RunningNode, bench: Bench, published: str) -> None:
    node.create_user("nils")
    bench.publisher.run(bench.projects, "hex.owner", "add", "seed", "nils", "--level", "maintainer")
    listed = bench.publisher.run(bench.projects, "hex.owner", "list", "seed")
    assert "full" in listed
    assert "maintainer" in listed
    unknown = bench.publisher.run(bench.projects, "hex.owner", "add", "seed", "nobody_at_all")
    assert "Adding owner failed" in unknown


def test_a_release_is_retired_seen_so_by_dependents_and_unretired(
    node: RunningNode, bench: Bench, published: str, tmp_path: Path
) -> None:
    where = bench.projects
    text = bench.publisher.run(
        where, "hex.retire", "sprout", "0.2.1", "deprecated", "--message", "use seed alone"
    )
    assert "sprout 0.2.1 has been retired" in text
    project = write_project(tmp_path, "garden", "0.1.0", '[{:sprout, "~> 0.2"}]')
    assert "use seed alone" in bench.publisher.run(project, "deps.get")
    shown = bench.publisher.run(where, "hex.info", "sprout", "0.2.1")
    assert "This version has been retired" in shown
    undone = bench.publisher.run(where, "hex.retire", "sprout", "0.2.1", "--unretire")
    assert "sprout 0.2.1 has been unretired" in undone
    assert "retired" not in bench.publisher.run(where, "hex.info", "sprout", "0.2.1")


def test_a_package_is_fetched_and_unpacked(bench: Bench, published: str, tmp_path: Path) -> None:
    bench.publisher.run(tmp_path, "hex.package", "fetch", "seed", "--unpack")
    assert (tmp_path / "seed-1.0.0" / "lib" / "seed.ex").exists()
    bench.publisher.run(tmp_path, "hex.package", "fetch", "sprout", "0.2.1")
    assert (tmp_path / "sprout-0.2.1.tar").exists()


def test_docs_are_fetched(bench: Bench, published: str, private: None) -> None:
    bench.publisher.run(bench.projects, "hex.docs", "fetch", "seed")
    page = bench.publisher.hex_home / "docs" / "hexpm" / "seed" / "1.0.0" / "index.html"
    assert page.read_text() == "<h1>Seed</h1>"


def test_docs_are_published_again_and_reverted_alone(
    node: RunningNode, bench: Bench, tmp_path: Path
) -> None:
    project = write_project(tmp_path, "thistle", "1.0.0", docs="first")
    bench.publisher.run(project, "hex.publish", "--yes")
    first = node.request("GET", "/docs/thistle-1.0.0.tar.gz").body
    (project / "mix.exs").write_text((project / "mix.exs").read_text().replace("first", "second"))
    bench.publisher.run(project, "hex.publish", "docs", "--yes")
    assert node.request("GET", "/docs/thistle-1.0.0.tar.gz").body != first
    text = bench.publisher.run(project, "hex.publish", "docs", "--revert", "1.0.0")
    assert "Reverted docs for thistle 1.0.0" in text
    assert node.request("GET", "/docs/thistle-1.0.0.tar.gz").status == 404
    assert node.request("GET", "/repo/tarballs/thistle-1.0.0.tar").status == 200


def test_publishing_twice_needs_leave_to_replace(
    node: RunningNode, bench: Bench, tmp_path: Path
) -> None:
    project = write_project(tmp_path, "umbel", "1.0.0")
    bench.publisher.run(project, "hex.publish", "package", "--yes")
    again = bench.publisher.try_run(project, "hex.publish", "package", "--yes")
    assert again.code == 1
    assert "must include the --replace flag to update an existing release" in again.text
    replaced = bench.publisher.run(project, "hex.publish", "package", "--yes", "--replace")
    assert f"Package published to {node.url}/packages/umbel/1.0.0" in replaced


def test_a_release_is_reverted(node: RunningNode, bench: Bench, tmp_path: Path) -> None:
    project = write_project(tmp_path, "violet", "1.0.0")
    bench.publisher.run(project, "hex.publish", "--yes")
    text = bench.publisher.run(project, "hex.publish", "--revert", "1.0.0")
    assert "Reverted violet 1.0.0" in text
    for path in ("/api/packages/violet", "/repo/packages/violet", "/docs/violet-1.0.0.tar.gz"):
        assert node.request("GET", path).status == 404


def test_a_dependency_that_is_gone_is_named_to_the_publisher(bench: Bench, tmp_path: Path) -> None:
    xylem = write_project(tmp_path, "xylem", "1.0.0")
    bench.publisher.run(xylem, "hex.publish", "package", "--yes")
    willow = write_project(tmp_path, "willow", "1.0.0", '[{:xylem, "~> 1.0"}]')
    bench.publisher.run(willow, "deps.get")
    bench.publisher.run(xylem, "hex.publish", "--revert", "1.0.0")
    output = bench.publisher.try_run(willow, "hex.publish", "package", "--yes")
    assert output.code == 1
    assert 'package does not exist in repository "hexpm"' in output.text


def test_a_wrong_key_is_told_as_such(node: RunningNode, bench: Bench, tmp_path: Path) -> None:
    stranger = Mix(tmp_path / "home", {"HEX_API_URL": node.url + "/api", "HEX_API_KEY": "0" * 32})
    project = write_project(tmp_path, "yarrow", "1.0.0")
    output = stranger.try_run(project, "hex.publish", "package", "--yes")
    assert output.code != 0
    assert "invalid API key" in output.text
    assert node.request("GET", "/api/packages/yarrow").status == 404
