"""A real node for a test module: its process, its log, its command line, requests to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
START_S = 20.0
STOP_S = 15.0
COMMAND_S = 30.0
PASSWORD = "correct horse battery"
WORKERS = os.environ.get("HEXHUB_TEST_WORKERS", "1")
"""How many processes a node of these tests has, where a test does not say it itself."""


@dataclass(frozen=True)
class Answer:
    """One HTTP answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Output:
    """What a finished command left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """Both streams: clients are not consistent in which one they use."""
        return self.stdout + self.stderr


def run(
    command: list[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    stdin: str | None = None,
    timeout_s: float = COMMAND_S,
) -> Output:
    """Run a command to its end; one that takes longer than `timeout_s` is killed and fails the test."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=dict(environment),
        input=stdin if stdin is not None else "",
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=timeout_s,
        check=False,
    )
    return Output(done.returncode, done.stdout, done.stderr)


def request(
    port: int,
    method: str,
    path: str,
    *,
    key: str | None = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request to a port of this machine, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    fields = {"user-agent": "end-to-end tests", **(headers or {})}
    if key is not None:
        fields["authorization"] = key
    try:
        connection.request(method, path, body, fields)
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, content)


class RunningNode:
    """`python -m hexhub serve` on a free port, with a data directory of its own.

    In a setting `{port}` stands for that port.
    """

    def __init__(self, directory: Path, settings: Mapping[str, str], root: Path = ROOT) -> None:
        self.root = root
        """The checkout whose code it runs."""
        self.port, cluster_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / "node.log"
        home = directory / "home"
        home.mkdir()
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PORT": str(self.port),
            "CLUSTER_PORT": str(cluster_port),
            "DATA_DIR": str(directory / "data"),
            "NODE_NAME": "hex_hub1",
            "HEXHUB_URL": self.url,
            "UPSTREAM_ENABLED": "false",
            "DEPENDENCY_CHECK": "own",
            **({} if "TLS_CERT" in settings else {"WORKERS": WORKERS}),
            **{name: value.replace("{port}", str(self.port)) for name, value in settings.items()},
        }
        self._start()

    def _start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hexhub", "serve"],
                cwd=self.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_S
        while not self._is_live():
            if self.process.poll() is not None:
                raise AssertionError(f"the node ended while starting:\n{self.log_text()}")
            if time.monotonic() > deadline:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"the node did not answer:\n{self.log_text()}")
            time.sleep(0.03)

    def _is_live(self) -> bool:
        try:
            return self.request("GET", "/health/live").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def stop(self) -> int:
        """End the process by SIGTERM and return its exit code; one that does not end is killed."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def kill(self) -> None:
        """End the process by SIGKILL, as a crash would."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start the process again on the same data."""
        self._start()

    def log_text(self) -> str:
        return self.log.read_text("utf-8", errors="replace")

    # the command line

    def try_command(self, *arguments: str, stdin: str | None = None) -> Output:
        """Run `hexhub ARGUMENTS` against this node."""
        command = [sys.executable, "-m", "hexhub", *arguments]
        return run(command, cwd=self.root, environment=self.environment, stdin=stdin)

    def command(self, *arguments: str, stdin: str | None = None) -> str:
        """Run `hexhub ARGUMENTS`, which must succeed; its standard output without line end."""
        output = self.try_command(*arguments, stdin=stdin)
        assert output.code == 0, f"hexhub {' '.join(arguments)}: {output}"
        return output.stdout.strip()

    def create_user(self, name: str) -> None:
        email = f"{name}@example.org"
        arguments = ["user", "create", name, "--email", email, "--password-stdin"]
        self.command(*arguments, stdin=PASSWORD + "\n")

    def create_key(self, user: str, *permissions: str, name: str = "test") -> str:
        """A new key's secret; `permissions` as `domain` or `domain:resource`."""
        options = [word for each in permissions for word in ("--permission", each)]
        return self.command("key", "create", name, "--user", user, *options)

    def create_organization(self, name: str, admin: str) -> None:
        self.command("org", "create", name, "--admin", admin)

    def public_key(self) -> str:
        """The PEM that clients pin."""
        return self.command("public-key") + "\n"

    def fingerprint(self) -> str:
        return self.command("public-key", "--fingerprint")

    # requests

    def request(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        return request(self.port, method, path, key=key, body=body, headers=headers)

    def publish(self, tarball: bytes, key: str, organization: str | None = None) -> Answer:
        """`POST /publish` without leave to replace (http-api.md §3.7)."""
        where = f"/repos/{organization}" if organization else ""
        return self.request(
            "POST",
            f"/api{where}/publish?replace=false",
            key=key,
            body=tarball,
            headers={"content-type": "application/octet-stream", "accept": "application/json"},
        )

    def must_publish(self, tarball: bytes, key: str, organization: str | None = None) -> None:
        answer = self.publish(tarball, key, organization)
        assert answer.status == 201, f"{answer.status}: {answer.body[:500]!r}"
