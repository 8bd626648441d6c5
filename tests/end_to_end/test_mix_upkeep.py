"""mix keeps projects and packages in order: what is outdated, what changed, who owns, which keys."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.end_to_end.mix import Mix, missing_mix, write_project
from tests.end_to_end.node import RunningNode
from tests.end_to_end.packages import tarball

pytestmark = pytest.mark.skipif(missing_mix() is not None, reason=missing_mix() or "")


@pytest.fixture(scope="module")
def developer(node: RunningNode, mara: str, tmp_path_factory: pytest.TempPathFactory) -> Mix:
    root = tmp_path_factory.mktemp("mix")
    pem = root / "hub.pem"
    pem.write_bytes(node.request("GET", "/public_key").body)
    mix = Mix(root / "home", {"HEX_API_URL": node.url + "/api", "HEX_API_KEY": mara})
    url = node.url + "/repo"
    mix.run(root, "hex.repo", "set", "hexpm", "--url", url, "--public-key", str(pem))
    return mix


@pytest.fixture(scope="module")
def project(developer: Mix, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that locked `fern` 1.0.0 before 1.1.0 was published."""
    root = tmp_path_factory.mktemp("projects")
    fern = write_project(root, "fern", "1.0.0")
    developer.run(fern, "hex.publish", "package", "--yes")
    meadow = write_project(root, "meadow", "0.1.0", '[{:fern, "~> 1.0"}]')
    developer.run(meadow, "deps.get")
    mix_exs = fern / "mix.exs"
    mix_exs.write_text(mix_exs.read_text().replace("1.0.0", "1.1.0"))
    developer.run(fern, "hex.publish", "package", "--yes")
    return meadow


def test_outdated_tells_of_a_newer_release(developer: Mix, project: Path) -> None:
    output = developer.try_run(project, "hex.outdated")
    assert output.code == 1, "this is how the client says that something is outdated"
    assert re.search(r"fern.*1\.0\.0.*1\.1\.0", output.text)


def test_diff_tells_what_changed_between_two_releases(
    developer: Mix, project: Path, tmp_path: Path
) -> None:
    text = developer.try_run(tmp_path, "hex.package", "diff", "fern", "1.0.0..1.1.0").text
    assert "1.0.0" in text
    assert "1.1.0" in text
    assert "mix.exs" in text


def test_a_package_is_handed_over(
    node: RunningNode, developer: Mix, project: Path, tmp_path: Path
) -> None:
    node.create_user("otto")
    assert "fern" in developer.run(tmp_path, "hex.owner", "packages")
    developer.run(tmp_path, "hex.owner", "add", "fern", "otto")
    developer.run(tmp_path, "hex.owner", "remove", "fern", "otto")
    owners = node.request("GET", "/api/packages/fern/owners").json()
    assert [owner["username"] for owner in owners] == ["mara"]
    developer.run(tmp_path, "hex.owner", "transfer", "fern", "otto")
    owners = node.request("GET", "/api/packages/fern/owners").json()
    assert [owner["username"] for owner in owners] == ["otto"]


def test_keys_of_an_organization_are_made_listed_and_revoked(
    node: RunningNode, developer: Mix, tmp_path: Path
) -> None:
    node.create_organization("forest", admin="mara")
    key = ("hex.organization", "key", "forest")
    made = developer.run(tmp_path, *key, "generate", "--key-name", "ci")
    (secret,) = re.findall(r"\b[0-9a-f]{32}\b", made)
    assert node.request("GET", "/repos/forest/names", key=secret).status == 200
    assert "ci" in developer.run(tmp_path, *key, "list")
    developer.run(tmp_path, *key, "revoke", "ci")
    assert node.request("GET", "/repos/forest/names", key=secret).status == 404


def test_a_package_is_published_for_an_organization_that_becomes_its_owner(
    node: RunningNode, mara: str
) -> None:
    """The two steps of the client: publish as oneself, then transfer (http-api.md §4.2, §5)."""
    node.create_organization("grove", admin="mara")
    node.must_publish(tarball("holly", "1.0.0", {"a": b"1"}), mara)
    answer = node.request(
        "PUT",
        "/api/repos/hexpm/packages/holly/owners/grove",
        key=mara,
        body=b'{"level": "full", "transfer": true}',
        headers={"content-type": "application/json"},
    )
    assert answer.status == 204
    owners = node.request("GET", "/api/packages/holly/owners").json()
    assert [owner["username"] for owner in owners] == ["grove"]
