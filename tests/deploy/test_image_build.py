"""The image is really built and run, on a base that is made here: no registry of images is asked.

Debian's own Python stands in for the official image. Needs root, buildah, podman, runc, mmdebstrap.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.node import ROOT, request
from tests.ports import free_ports
from tests.programs import cannot, require

BASE = "docker.io/library/python:3.11-slim"
IMAGE = "localhost/hexhub"
TRUST = ("/etc/ssl/certs", "/etc/pip.conf")
"""What a build here needs to reach the package index, where there is such."""


class Engine:
    """buildah and podman over a store of images of their own."""

    def __init__(self, images: Path, run: str) -> None:
        self._store = ["--root", str(images), "--runroot", run]

    def command(self, program: str, *arguments: str) -> list[str]:
        extra = ["--cgroup-manager", "cgroupfs"] if program == "podman" else []
        return [program, *extra, "--storage-driver", "overlay", *self._store, *arguments]

    def do(self, program: str, *arguments: str, timeout_s: float = 900) -> str:
        done = subprocess.run(
            self.command(program, *arguments),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env={**os.environ, "BUILDAH_ISOLATION": "chroot"},
        )
        assert done.returncode == 0, (arguments, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout.strip()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine that holds the base and the image built from the checkout's own Dockerfile."""
    if os.geteuid() != 0:
        cannot("images are built as root here")
    for program in ("buildah", "podman", "runc", "mmdebstrap"):
        require(program)
    base = tmp_path / "base.tar"
    packages = "--include=python3.11,python3.11-venv,ca-certificates"
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", packages, "bookworm", str(base)],
        check=True,
        timeout=900,
    )
    run = tempfile.mkdtemp()  # podman takes no long path here
    engine = Engine(tmp_path / "images", run)
    work = engine.do("buildah", "from", "scratch")
    engine.do("buildah", "add", "--quiet", work, str(base), "/")
    root = Path(engine.do("buildah", "mount", work))
    (root / "usr/bin/python").symlink_to("python3.11")
    engine.do("buildah", "umount", work)
    engine.do("buildah", "commit", "--quiet", work, BASE)
    context = tmp_path / "context"
    ignored = shutil.ignore_patterns("__pycache__", ".git", ".venv", "data", ".*_cache")
    shutil.copytree(ROOT, context, ignore=ignored)
    trust = [f"--volume={path}:{path}:ro" for path in TRUST if Path(path).exists()]
    build = ["bud", "--pull-never", "--network", "host", "--format", "docker", *trust]
    engine.do("buildah", *build, "--tag", IMAGE, str(context))
    yield engine
    subprocess.run(engine.command("podman", "rmi", "--all", "--force"), check=False)
    # The store of images is mounted onto itself, and would stay so.
    subprocess.run(["umount", "--lazy", str(tmp_path / "images/overlay")], check=False)
    shutil.rmtree(run, ignore_errors=True)


@pytest.mark.long
def test_the_image_runs_as_nobody_on_a_read_only_root_and_drains_on_sigterm(
    engine: Engine, tmp_path: Path
) -> None:
    image = json.loads(engine.do("podman", "inspect", IMAGE))[0]
    config = image["Config"]
    assert (config["User"], config["Cmd"]) == ("10001:10001", ["hexhub", "serve"])
    assert config["StopSignal"] in ("SIGTERM", "15")
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, 10001, 10001)
    (port,) = free_ports(1)
    limits = ["--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"]
    settings = ["--env", f"PORT={port}", "--env", "HEXHUB_PLAIN_HTTP=true"]
    name = f"hexhub-{port}"
    run = ["run", "--rm", "--pull", "never", "--name", name, "--runtime", "runc", "--read-only"]
    # What looks after health checks is systemd, which need not run here; it is tried below.
    run += ["--cap-drop", "all", "--no-healthcheck", "--network", "host", *limits, *settings]
    log = (tmp_path / "log").open("wb")
    running = subprocess.Popen(
        engine.command("podman", *run, "--volume", f"{data}:/data", IMAGE), stdout=log, stderr=log
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                if request(port, "GET", "/health").status == 200:
                    break
            except OSError:
                pass
            assert running.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        check = image["Healthcheck"]["Test"][1:]
        assert engine.do("podman", "exec", name, *check) == "ok"
        tried = "id -u; touch /written 2>/dev/null || echo refused; test -w /data && echo data"
        said = engine.do("podman", "exec", name, "sh", "-c", tried)
        assert said.split() == ["10001", "refused", "data"]
        engine.do("podman", "stop", "--time", "35", name, timeout_s=60)
        assert running.wait(60) == 0
    finally:
        if running.poll() is None:
            subprocess.run(engine.command("podman", "kill", name), check=False)
            running.wait(30)
        log.close()
    assert json.loads((tmp_path / "log").read_text().splitlines()[-1])["event"] == "stopped"
