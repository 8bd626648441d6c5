"""mix meets what a hub decides for everybody: advisories, policies, notices."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end.mix import Mix, missing_mix, write_project
from tests.end_to_end.node import RunningNode
from tests.end_to_end.packages import mix_project, tarball

pytestmark = pytest.mark.skipif(missing_mix() is not None, reason=missing_mix() or "")

ADVISORY = {
    "id": "EEF-CVE-2026-0001",
    "modified": "2026-02-03T04:05:06Z",
    "summary": "Seeds sprout too early",
    "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}],
    "affected": [
        {
            "package": {"ecosystem": "Hex", "name": "seed", "purl": "pkg:hex/seed"},
            "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.1.0"}]}],
        }
    ],
}
POLICY = {
    "description": "What may be used at Acme",
    "repositories": [
        {
            "repository": "hexpm",
            "advisory_min_severity": "high",
            "overrides": [{"action": "deny", "package": "seed", "requirement": "1.2.0"}],
        }
    ],
}


@pytest.fixture(scope="module")
def mix(node: RunningNode, mara: str, tmp_path_factory: pytest.TempPathFactory) -> Mix:
    """A developer whose `hexpm` is this hub, a member of `acme`."""
    root = tmp_path_factory.mktemp("governed")
    node.create_organization("acme", admin="mara")
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        node.must_publish(tarball("seed", version, mix_project("seed", version)), mara)
    (root / "osv.json").write_text(json.dumps(ADVISORY))
    node.command("advisory", "import", str(root / "osv.json"))
    (root / "policy.json").write_text(json.dumps(POLICY))
    node.command("policy", "put", "acme", "strict", str(root / "policy.json"))
    (root / "hub.pem").write_bytes(node.request("GET", "/public_key").body)
    reader = node.create_key("mara", "repositories", name="reader")
    mix = Mix(root / "home", {"HEX_API_URL": node.url + "/api", "HEX_API_KEY": mara})
    url = ("--url", node.url + "/repo", "--public-key", str(root / "hub.pem"))
    mix.run(root, "hex.repo", "set", "hexpm", *url, "--auth-key", reader)
    return mix


def test_audit_reports_an_advisory(mix: Mix, tmp_path: Path) -> None:
    project = write_project(tmp_path, "garden", "0.1.0", '[{:seed, "1.0.0"}]')
    mix.run(project, "deps.get")

    audit = mix.try_run(project, "hex.audit")

    assert audit.code != 0
    assert "EEF-CVE-2026-0001" in audit.text
    assert "Seeds sprout too early" in audit.text


def test_a_policy_is_shown_explained_and_obeyed(mix: Mix, tmp_path: Path) -> None:
    governed = mix.extended({"HEX_POLICY": "hexpm:acme/strict"})
    project = write_project(tmp_path, "garden", "0.1.0", '[{:seed, "~> 1.0"}]')

    shown = governed.run(project, "hex.policy", "show")
    why = governed.run(project, "hex.policy", "why", "seed")
    governed.run(project, "deps.get")

    assert "Active policy: acme/strict [private]" in shown
    assert "HIGH" in shown
    verdicts = {line.split()[0]: line for line in why.splitlines() if line[:2] == "1."}
    assert "BLOCKED" in verdicts["1.0.0"]
    assert "advisory" in verdicts["1.0.0"]
    assert "ALLOWED" in verdicts["1.1.0"]
    assert "override deny" in verdicts["1.2.0"]
    assert '"1.1.0"' in (project / "mix.lock").read_text()


def test_a_notice_is_printed(node: RunningNode, mix: Mix, tmp_path: Path) -> None:
    node.command("notice", "set", "the hub moves on Friday")
    try:
        printed = mix.run(tmp_path, "hex.info", "seed")
    finally:
        node.command("notice", "clear")

    assert "the hub moves on Friday" in printed
