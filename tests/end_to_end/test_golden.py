"""The golden tarballs published to a node: accepted or refused as hexpm's rules say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.mix import Mix, missing_mix, write_project
from tests.end_to_end.node import Answer, RunningNode
from tests.end_to_end.packages import mix_project, tarball
from tests.end_to_end.registry import read_names, read_package

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
GOOD: list[dict[str, Any]] = json.loads((GOLDEN / "good.json").read_text("utf-8"))
BAD: list[dict[str, Any]] = json.loads((GOLDEN / "bad.json").read_text("utf-8"))

# Packages that golden ones require, in versions that satisfy them.
NEEDED = {
    "cowlib": "2.12.1",
    "decimal": "2.0.0",
    "gleam_stdlib": "1.0.0",
    "jason": "1.4.0",
    "plug": "1.15.0",
    "ranch": "1.8.0",
    "ranch_fork": "1.8.0",
    "telemetry": "1.2.0",
}
FOREIGN = 'dependencies can only belong to public repository "hexpm", got: '
REFUSED: dict[str, dict[str, Any]] = {
    "build_meta": {"version": "build number not allowed"},
    "many_deps": {
        "requirements": {
            "inhouse": FOREIGN + '"othercorp"',
            "secret_core": FOREIGN + '"acme"',
        }
    },
    "odd_values": {"meta": {"description": "can't be blank"}},
}


def _bytes(case: dict[str, Any]) -> bytes:
    path = GOLDEN / "good" / str(case["file"])
    return path.read_bytes()


@pytest.fixture(scope="module")
def needed(node: RunningNode, mara: str) -> None:
    """The packages that golden ones require."""
    for name, version in NEEDED.items():
        node.must_publish(
            tarball(name, version, mix_project(name, version), build_tools=["mix"]), mara
        )


@pytest.fixture(scope="module")
def answers(node: RunningNode, mara: str, needed: None) -> dict[str, Answer]:
    """What the node said to each golden tarball; those that others require come first."""
    first = [case for case in GOOD if case["name"] == "minimal"]
    others = [case for case in GOOD if case["name"] != "minimal"]
    return {case["file"]: node.publish(_bytes(case), mara) for case in first + others}


@pytest.mark.parametrize("case", GOOD, ids=[case["file"] for case in GOOD])
def test_a_golden_tarball_is_published_or_refused_with_the_stated_field(
    answers: dict[str, Answer], case: dict[str, Any]
) -> None:
    answer = answers[case["file"]]
    if case["name"] in REFUSED:
        assert (answer.status, answer.json()["errors"]) == (422, REFUSED[case["name"]])
        return
    assert answer.status == 201, answer.body
    release = answer.json()
    assert release["version"] == case["version"]
    assert release["checksum"] == case["outer_checksum"]
    requirements = case["metadata"]["requirements"]
    assert release["requirements"] == {
        name: {each: needed[each] for each in ("app", "optional", "requirement")}
        for name, needed in requirements.items()
    }


def test_accepted_tarballs_are_served_as_they_came(
    node: RunningNode, answers: dict[str, Answer]
) -> None:
    for case in GOOD:
        if case["name"] not in REFUSED:
            path = f"/repo/tarballs/{case['name']}-{case['version']}.tar"
            assert node.request("GET", path).body == _bytes(case), path


def test_the_registry_lists_the_releases_by_version_with_the_stated_checksums(
    node: RunningNode, answers: dict[str, Answer]
) -> None:
    pem = node.public_key()
    checksums = {
        (case["name"], case["version"]): (case["inner_checksum"], case["outer_checksum"])
        for case in GOOD
        if case["name"] not in REFUSED
    }
    told = {}
    for name in {name for name, _ in checksums}:
        package = read_package(node.request("GET", f"/repo/packages/{name}").body, pem)
        for each in package.releases:
            told[name, each.version] = (each.inner_checksum, each.outer_checksum)
    assert told == checksums
    minimal = read_package(node.request("GET", "/repo/packages/minimal").body, pem)
    assert [each.version for each in minimal.releases] == ["1.0.0", "1.9.0", "1.10.0"]


def test_a_refused_tarball_leaves_nothing_behind(
    node: RunningNode, answers: dict[str, Answer]
) -> None:
    names = read_names(node.request("GET", "/repo/names").body, node.public_key())
    assert names == sorted(names)
    for case in GOOD:
        if case["name"] in REFUSED:
            assert case["name"] not in names
            paths = (f"/api/packages/{case['name']}", f"/repo/packages/{case['name']}")
            assert [node.request("GET", path).status for path in paths] == [404, 404]


@pytest.mark.parametrize("case", BAD, ids=[case["file"] for case in BAD])
def test_a_bad_tarball_is_refused_with_a_reason(
    node: RunningNode, mara: str, case: dict[str, Any]
) -> None:
    answer = node.publish((GOLDEN / "bad" / case["file"]).read_bytes(), mara)
    assert answer.status == 422, answer.body[:300]
    errors = answer.json()["errors"]
    assert errors
    if case["library_verdict"].startswith("reject"):
        assert isinstance(errors["tar"], str)
        assert errors["tar"].strip()


def test_an_organization_may_leave_out_what_only_public_packages_need(
    node: RunningNode, mara: str, needed: None
) -> None:
    node.create_organization("acme", admin="mara")
    odd = next(case for case in GOOD if case["name"] == "odd_values")
    answer = node.publish(_bytes(odd), mara, "acme")
    assert answer.status == 201, answer.body
    core = tarball("secret_core", "0.1.0", mix_project("secret_core", "0.1.0"))
    node.must_publish(core, mara, "acme")
    many = next(case for case in GOOD if case["name"] == "many_deps")
    refused = node.publish(_bytes(many), mara, "acme")
    assert refused.status == 422
    text = (
        'dependencies can only belong to public repository "hexpm" '
        'or current repository "acme", got: "othercorp"'
    )
    assert refused.json()["errors"] == {"requirements": {"inhouse": text}}


@pytest.mark.skipif(missing_mix() is not None, reason=missing_mix() or "")
def test_mix_fetches_and_unpacks_the_golden_packages(
    node: RunningNode, answers: dict[str, Answer], tmp_path: Path
) -> None:
    mix = Mix(tmp_path / "home")
    pem = tmp_path / "hub.pem"
    pem.write_text(node.public_key())
    url = node.url + "/repo"
    mix.run(tmp_path, "hex.repo", "set", "hexpm", "--url", url, "--public-key", str(pem))
    deps = ", ".join(
        _dependency(case["metadata"]["app"], case["name"], case["version"])
        for case in GOOD
        if case["name"] not in REFUSED and f"{case['name']}-{case['version']}" not in SHADOWED
    )
    project = write_project(tmp_path, "consumer", "0.1.0", f"[{deps}]")
    mix.run(project, "deps.get")
    fetched = project / "deps"
    assert (fetched / "unicode_meta" / "priv" / "日本語.txt").exists()
    assert (fetched / "tree_shapes_app" / "priv" / "link_to_target").is_symlink()
    assert (fetched / "rebar_pkg_app" / "src" / "rebar_pkg.erl").exists()
    assert len(list((fetched / "big_filelist").rglob("*"))) > 1200


# Releases of a package of which another one is asked for: a project has one of each.
SHADOWED = {
    "minimal-1.0.0",
    "minimal-1.9.0",
    "prerelease-2.0.0-alpha.beta-3",
    "rebar_pkg-4.1.0",
}


def _dependency(app: str, name: str, version: str) -> str:
    return f'{{:{app}, "{version}", hex: :{name}}}'
