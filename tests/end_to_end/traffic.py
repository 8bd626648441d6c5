"""Clients behind one address while nodes come and go: what they saw succeed, and what failed them."""

from __future__ import annotations

import hashlib
import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec

from tests.end_to_end.balancers import Balancer
from tests.end_to_end.members import until
from tests.end_to_end.mix import Mix, write_project
from tests.end_to_end.packages import rebar3_project, tarball
from tests.end_to_end.rebar3 import Rebar3Project, Repository
from tests.end_to_end.rebar3_hex import Rebar3Hex

P = ParamSpec("P")


def package(name: str, version: str = "1.0.0") -> bytes:
    return tarball(name, version, rebar3_project(name, version))


def sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


@dataclass(frozen=True)
class Private:
    """A package of an organization, and a key that may fetch it."""

    path: str
    key: str


class Traffic:
    """Publishes one package after another through the load balancer, and reads what it saw succeed.

    Every second one is published by the requests of rebar3's plugin. What is private is read too.
    """

    def __init__(
        self, front: Balancer, key: str, prefix: str, private: Private | None = None
    ) -> None:
        self._front = front
        self._private = private
        self._plugin = Rebar3Hex(front, key)
        self._key = key
        self._prefix = prefix
        self.seen: dict[str, bytes] = {}
        self.failed_reads: list[str] = []
        self.failed_writes: list[str] = []
        self._ended = threading.Event()
        self._writer = threading.Thread(target=self._publish)
        self._reader = threading.Thread(target=self._read)

    @property
    def published(self) -> int:
        return len(self.seen)

    def wait_for_more(self, than: int) -> None:
        until(lambda: self.published > than, "another publish")

    def __enter__(self) -> None:
        self._writer.start()
        self._reader.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._writer.join()
        self._reader.join()

    def _publish(self) -> None:
        number = 0
        while not self._ended.is_set():
            number += 1
            name = f"{self._prefix}{number}"
            content = package(name)
            while not self._ended.is_set():
                status = self._status(self._publish_once, number, name, content)
                # 422: an earlier try, whose answer was lost, had published it.
                if status in (201, 422):
                    self.seen[name] = sha256(content)
                    break
                self.failed_writes.append(f"{name}: {status}")
                self._ended.wait(0.1)

    def _read(self) -> None:
        while not self._ended.wait(0.02):
            for name in list(self.seen)[-3:]:
                path = f"/repo/tarballs/{name}-1.0.0.tar"
                status = self._status(self._fetch_once, path)
                if status != 200:
                    self.failed_reads.append(f"{name}: {status}")
            if (private := self._private) is not None:
                status = self._status(self._fetch_once, private.path, private.key)
                if status != 200:
                    self.failed_reads.append(f"{private.path}: {status}")

    def _publish_once(self, number: int, name: str, content: bytes) -> int:
        if number % 2:
            return self._plugin.publish(name, content).reply.status
        headers = {"content-type": "application/octet-stream"}
        path = "/api/publish?replace=false"
        return self._front.request(
            "POST", path, key=self._key, body=content, headers=headers
        ).status

    def _fetch_once(self, path: str, key: str | None = None) -> int:
        return self._front.request("GET", path, key=key).status

    def _status(self, ask: Callable[P, int], *args: P.args, **kwargs: P.kwargs) -> int:
        """What was answered; 0 for nothing."""
        try:
            return ask(*args, **kwargs)
        except (OSError, http.client.HTTPException):
            return 0


def fetch_by_rebar3(front: Balancer, pem: str, folder: Path, name: str) -> None:
    """A new project gets this package, with rebar3."""
    repository = Repository("hexpm", f"http://127.0.0.1:{front.port}/repo", pem)
    project = Rebar3Project(folder, f'[{{{name}, "1.0.0"}}]', [repository])
    output = project.run("get-deps")
    assert output.code == 0, output
    assert project.fetched() == {name}


class MixDeveloper:
    """Publishes and fetches with mix through the load balancer."""

    def __init__(self, front: Balancer, key: str, pem: str, folder: Path) -> None:
        url = f"http://127.0.0.1:{front.port}"
        self._folder = folder
        self._mix = Mix(folder / "home", {"HEX_API_URL": url + "/api", "HEX_API_KEY": key})
        (folder / "hub.pem").write_text(pem)
        where = ("--url", url + "/repo", "--public-key", str(folder / "hub.pem"))
        self._mix.run(folder, "hex.repo", "set", "hexpm", *where)
        self.seen: dict[str, bytes] = {}
        self.refused: list[str] = []

    def publish(self, name: str) -> None:
        """One package; tried again until it is there, as a person would."""
        project = write_project(self._folder, name, "1.0.0")
        self._mix.run(project, "hex.build", "--output", "built.tar")
        built = (project / "built.tar").read_bytes()
        (project / "built.tar").unlink()

        def once() -> bool:
            output = self._mix.try_run(project, "hex.publish", "package", "--yes")
            if output.code:
                self.refused.append(output.text)
            # An earlier try, whose answer was lost, had published it.
            return output.code == 0 or "already published" in output.text

        until(once, f"{name} is published: {self.refused[-1:]}")
        self.seen[name] = sha256(built)

    def fetch(self, name: str) -> None:
        """A new project gets this package and runs it."""
        project = write_project(self._folder, f"uses_{name}", "0.1.0", f'[{{:{name}, "1.0.0"}}]')
        self._mix.run(project, "deps.get")
        assert (project / "deps" / name / "mix.exs").exists()
