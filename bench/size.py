"""What a node costs at the size of hex.pm, and what happens right after its start.

    python -m bench.size [DIR] [--packages 20000] [--releases 250000]

DIR is kept and used again when it is there. Resident memory is that of all processes of the node
without pages of files (RssAnon); the tables are mapped, and their pages are page cache.
"""

from __future__ import annotations

import argparse
import http.client
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import load, nodes
from bench.nodes import BenchNode
from tests.end_to_end import packages

PUBLISHES = 40
PROBE_EVERY_S = 0.005
MEGABYTE = 1 << 20


class Probe:
    """Asks for one package again and again beside other work: the longest wait is the stall."""

    def __init__(self, port: int, path: str) -> None:
        self.took: list[float] = []
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(port, path))

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ends.set()
        self._thread.join()

    def _run(self, port: int, path: str) -> None:
        connection = Connection(port)
        while not self._ends.wait(PROBE_EVERY_S):
            self.took.append(connection.timed(path)[0])

    @property
    def said(self) -> str:
        """Median, 99th percentile and longest wait."""
        quantiles = statistics.quantiles(self.took, n=100)
        return (
            f"median {statistics.median(self.took) * 1000:.1f} ms, p99 "
            f"{quantiles[98] * 1000:.1f}, longest {max(self.took) * 1000:.0f} of {len(self.took)}"
        )


class Connection:
    """One kept-alive connection."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=240)

    def timed(self, path: str, accept: str = "*/*") -> tuple[float, bytes]:
        """Seconds that an answer took, and its body."""
        began = time.perf_counter()
        self._http.request("GET", path, headers={"User-Agent": "bench", "Accept": accept})
        answer = self._http.getresponse()
        body = answer.read()
        if answer.status != 200:
            sys.exit(f"{path} answered {answer.status}: {body[:300]!r}")
        return time.perf_counter() - began, body

    def publish(self, key: str, data: bytes) -> float:
        """Seconds that a publish took."""
        headers = {"User-Agent": "bench", "Authorization": key}
        began = time.perf_counter()
        self._http.request("POST", "/api/publish", body=data, headers=headers)
        answer = self._http.getresponse()
        body = answer.read()
        if answer.status != 201:
            sys.exit(f"publish answered {answer.status}: {body[:300]!r}")
        return time.perf_counter() - began


FIRSTS: Mapping[str, tuple[str, str]] = {
    "first package resource": ("/packages/{name}", "*/*"),
    "first package page": ("/packages/{name}", "text/html"),
    "first /versions": ("/versions", "*/*"),
    "first /names": ("/names", "*/*"),
    "first page of /api/packages": ("/api/packages", "application/json"),
    "first search": ("/api/packages?search=lantern", "application/json"),
    "home page": ("/", "text/html"),
}


def after_start(member: BenchNode, name: str) -> None:
    """What the first who ask wait for, and what others wait meanwhile."""
    with Probe(member.port, f"/packages/{name}") as probe:
        connection = Connection(member.port)
        for what, (path, accept) in FIRSTS.items():
            seconds, body = connection.timed(path.format(name=name), accept)
            at = time.monotonic() - member.started
            print(
                f"{what:28} {seconds * 1000:8.1f} ms, {len(body):8} bytes, {at:.2f} s after start"
            )
    print(f"{'another reader meanwhile':28} {probe.said}")


def publishing(member: BenchNode) -> None:
    """From the answer to a publish until each list shows it, and what the publish took."""
    key = member.key()
    connection = Connection(member.port)
    shown: dict[str, list[float]] = {
        "publish": [],
        "/versions": [],
        "/names": [],
        "/api/packages": [],
    }
    for number in range(PUBLISHES):
        body = f"{number} {time.time_ns()}".encode() * 800
        name = f"bench_{time.time_ns()}"
        shown["publish"].append(
            connection.publish(key, packages.tarball(name, "1.0.0", {"a": body}))
        )
        for path in ("/versions", "/names", "/api/packages"):
            shown[path].append(connection.timed(path)[0])
    for what, took in shown.items():
        line = "publish of a release" if what == "publish" else f"then {what} shows it"
        print(
            f"{line:28} {statistics.median(took) * 1000:8.1f} ms median, "
            f"{max(took) * 1000:.1f} at most of {len(took)}"
        )


def remember(member: BenchNode, what: str) -> None:
    own, files = member.memory()
    print(f"memory {what:21} {own / MEGABYTE:8.0f} MB, and {files / MEGABYTE:.0f} MB of file pages")


def measure(folder: Path, settings: Mapping[str, str]) -> None:
    """Start a node over a filled data directory and print its figures."""
    os.sync()  # or the node's first sync waits for what made the directory
    with nodes.node(folder, **settings) as member:
        print(f"{'ready after':28} {member.wait_for('/health/ready') * 1000:8.0f} ms")
        remember(member, "when ready")
    (name,) = load.names(random.Random(load.SEED), 1)
    with nodes.node(folder, **settings) as member:
        member.wait_for("/health/ready")
        after_start(member, name)
        remember(member, "with all lists")
        publishing(member)
        remember(member, "after publishes")


def _with_folder(use: Callable[[Path], None], given: Path | None) -> None:
    if given is not None:
        use(given.absolute())
        return
    with tempfile.TemporaryDirectory(prefix="hexhub-bench-") as name:
        use(Path(name) / "data")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--packages", type=int, default=20_000)
    parser.add_argument("--releases", type=int, default=250_000)
    given = parser.parse_args()

    def use(folder: Path) -> None:
        if not (folder / "cluster").is_dir():
            subprocess.run(
                [
                    *(sys.executable, "-m", "bench.load", str(folder)),
                    *("--packages", str(given.packages), "--releases", str(given.releases)),
                ],
                check=True,
            )
        measure(folder, {})

    _with_folder(use, given.folder)


if __name__ == "__main__":
    main()
