"""`hexhub doctor` on a healthy and on an ill node, its script for developers, and completion."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.node import Output, RunningNode, run
from tests.ports import free_ports


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    running = RunningNode(tmp_path_factory.mktemp("node"), {})
    yield running
    running.stop()


def findings(node: RunningNode) -> tuple[int, dict[str, dict[str, str]]]:
    output = node.try_command("doctor", "--json")
    return output.code, {each["about"]: each for each in json.loads(output.stdout)["findings"]}


def test_a_healthy_node_has_nothing_bad(node: RunningNode) -> None:
    code, found = findings(node)
    assert code == 0, found
    for about in (
        "settings",
        "disk",
        "secret",
        "keys",
        "dns",
        "node",
        "cluster",
        "tables",
        "storage",
    ):
        assert found[about]["level"] == "ok", found[about]
    assert found["backups"]["level"] == "note"


def test_what_is_bad_is_said_with_its_fix(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    secret = tmp_path / "data/secret"
    secret.write_text("s" * 64)
    secret.chmod(0o644)
    (port,) = free_ports(1)
    environment = {
        "PATH": os.environ["PATH"],
        "DATA_DIR": str(tmp_path / "data"),
        "PORT": str(port),
        "HEXHUB_HOST": "0.0.0.0",
        "HEXHUB_URL": "https://no-such-host.invalid",
        "UPSTREAM_ENABLED": "false",
    }
    import sys

    output = run(
        [sys.executable, "-m", "hexhub", "doctor"],
        cwd=Path(__file__).parents[2],
        environment=environment,
    )
    assert output.code == 1
    for words in (
        "BAD   settings: HEXHUB_HOST=0.0.0.0",
        f"fix: chmod 600 {secret}",
        "BAD   dns: no-such-host.invalid",
        "BAD   node: no node answers",
    ):
        assert words in output.stdout, output.stdout


def machine(node: RunningNode, folder: Path, repos: str, **environ: str) -> Output:
    """Run the script on a machine whose mix knows these repositories."""
    script = folder / "doctor.sh"
    script.write_text(node.command("doctor", "client") + "\n")
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    mix = tools / "mix"
    (folder / "repos").write_text(repos)
    mix.write_text(f"#!/bin/sh\ncat {folder}/repos\n")
    mix.chmod(mix.stat().st_mode | stat.S_IXUSR)
    path = f"{tools}:/usr/local/bin:/usr/bin:/bin"
    shell = shutil.which("dash") or "sh"
    return run([shell, str(script)], cwd=folder, environment={"PATH": path, **environ})


needs_curl = pytest.mark.skipif(  # in CI a missing tool is a failure
    shutil.which("curl") is None and os.environ.get("CI") != "true", reason="no curl here"
)


@needs_curl
def test_a_machine_that_is_set_up_is_told_so(node: RunningNode, tmp_path: Path) -> None:
    output = machine(node, tmp_path, f"hub {node.url} public\n", HEX_MIRROR=node.url)
    assert output.code == 0, output
    assert f"ok    the hub answers at {node.url}" in output.stdout
    assert "ok    HEX_MIRROR is this hub" in output.stdout
    assert "ok    mix knows the hub" in output.stdout
    if shutil.which("ssh-keygen"):
        assert f"ok    the hub's key is {node.fingerprint()}" in output.stdout


@needs_curl
@pytest.mark.parametrize(
    ("repos", "environ", "fix"),
    [
        ("hexpm https://repo.hex.pm\n", {}, "mix hex.repo add hub {url} --fetch-public-key"),
        ("other {url} x\n", {}, "mix hex.repo remove NAME"),
        ("hub {url}\n", {"HEX_UNSAFE_REGISTRY": "1"}, "unset HEX_UNSAFE_REGISTRY"),
        ("hub {url}\n", {"HEX_MIRROR": "{url}/repo"}, "export HEX_MIRROR={url}"),
        ("hub {url}\n", {"HEX_API_KEY": "no-such-key"}, "make a new key at {url}/dashboard/keys"),
        ("hub {url}\n", {"HEX_CACERTS_PATH": "/no/such"}, "name a file of certificates"),
        ("hub {url} SHA256:other x\n", {}, "mix hex.repo set hub --fetch-public-key SHA256:"),
    ],
)
def test_what_is_wrong_on_a_machine_comes_with_the_line_that_mends_it(
    node: RunningNode, tmp_path: Path, repos: str, environ: dict[str, str], fix: str
) -> None:
    given = {name: text.format(url=node.url) for name, text in environ.items()}
    output = machine(node, tmp_path, repos.format(url=node.url), **given)
    assert output.code == 1, output
    assert f"fix: {fix.format(url=node.url)}" in output.stdout


@needs_curl
def test_a_key_that_works_is_told_so_and_never_shown(node: RunningNode, tmp_path: Path) -> None:
    node.create_user("mara")
    key = node.create_key("mara", "api")
    repos = f"hub {node.url} {node.fingerprint()} x\n"
    output = machine(node, tmp_path, repos, HEX_API_KEY=key, HEX_API_URL=f"{node.url}/api")
    assert output.code == 0, output
    assert "ok    HEX_API_KEY is known to the hub" in output.stdout
    assert "ok    HEX_API_URL is this hub" in output.stdout
    assert key not in output.text


@needs_curl
def test_a_hub_that_is_away_is_told_apart(node: RunningNode, tmp_path: Path) -> None:
    script = node.command("doctor", "client", "--url", f"http://127.0.0.1:{free_ports(1)[0]}")
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "nothing listens" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete(node: RunningNode, shell: str) -> None:
    assert "_HEXHUB_COMPLETE" in node.command("completion", shell)
