"""Requests per second of a node beside nginx serving the same bytes as files, in one run.

    python -m bench.http [--seconds 3] [--rounds 5] [--connections 32]

Needs `nginx` and `wrk` (both in Debian). Runs alternate, so that a slow minute of the machine meets
both sides; figures are medians. nginx has one worker, as the node has one process.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientSession

from tests.end_to_end import packages

KEY_FILE = "key"
SMALL, LARGE = 20_000, 2_000_000
PUBLISHERS = 16
PUBLISHES = 400


@dataclass(frozen=True)
class Case:
    name: str
    ours: str
    """Path at the node."""
    file: str
    """File name at nginx."""
    accept: str = "*/*"


CASES = (
    Case("registry resource", "/packages/small", "resource"),
    Case("tarball of 20 KB", "/tarballs/small-1.0.0.tar", "small.tar"),
    Case("tarball of 2 MB", "/tarballs/large-1.0.0.tar", "large.tar"),
    Case("package in JSON", "/api/packages/small", "package.json", "application/json"),
)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def process(command: list[str], env: dict[str, str] | None = None) -> Iterator[int]:
    """A process that is ended afterwards; its id."""
    with subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as started:
        try:
            yield started.pid
        finally:
            started.send_signal(signal.SIGTERM)
            started.wait(timeout=40)


def wait_for(url: str) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"{url} does not answer")


def fetch(url: str, accept: str = "*/*") -> bytes:
    request = urllib.request.Request(url, headers={"Accept": accept, "User-Agent": "bench"})
    with urllib.request.urlopen(request) as response:
        body: bytes = response.read()
        return body


def incompressible(size: int) -> bytes:
    """Text of about this size that gzip cannot make much smaller."""
    return os.urandom(size * 3 // 4).hex().encode()[: size * 4 // 3]


def nginx_config(folder: Path, port: int) -> Path:
    path = folder / "nginx.conf"
    path.write_text(
        f"""
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  open_file_cache max=1000;
  server {{ listen 127.0.0.1:{port}; root {folder}/files; default_type application/octet-stream; }}
}}
"""
    )
    return path


def wrk(url: str, accept: str, connections: int, seconds: int) -> tuple[float, float]:
    """Requests per second, and the 99th percentile in milliseconds."""
    headers = ["-H", f"Accept: {accept}", "-H", "User-Agent: bench"]
    out = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *headers, url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", out)
    if rate is None or p99 is None or "Non-2xx" in out:
        sys.exit(f"wrk on {url} failed:\n{out}")
    scale = {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99[2]]
    return float(rate[1]), float(p99[1]) * scale


async def publish_rate(url: str, key: str) -> tuple[float, float]:
    """Durable publishes per second by several publishers at once, and the median in ms."""
    body = incompressible(SMALL)
    tarballs = [
        packages.tarball(f"p{number}", "1.0.0", {"data.txt": body}) for number in range(PUBLISHES)
    ]
    took: list[float] = []

    async def publisher(session: ClientSession) -> None:
        while tarballs:
            data, began = tarballs.pop(), time.perf_counter()
            async with session.post(f"{url}/api/publish", data=data) as response:
                if response.status != 201:
                    sys.exit(f"publish answered {response.status}: {await response.text()}")
            took.append(time.perf_counter() - began)

    headers = {"Authorization": key, "User-Agent": "bench"}
    async with ClientSession(headers=headers) as session:
        began = time.perf_counter()
        await asyncio.gather(*(publisher(session) for _ in range(PUBLISHERS)))
        whole = time.perf_counter() - began
        rate = len(took) / whole
        alone = []
        for number in range(40):
            data = packages.tarball(f"q{number}", "1.0.0", {"data.txt": body})
            began = time.perf_counter()
            async with session.post(f"{url}/api/publish", data=data) as response:
                await response.read()
            alone.append(time.perf_counter() - began)
    return rate, statistics.median(alone) * 1000


def fsync_rate(folder: Path) -> float:
    """fdatasyncs per second of one 4 KiB write each, on the disk that was written to."""
    with (folder / "fsync").open("wb") as file:
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < 1.0:
            file.write(b"x" * 4096)
            file.flush()
            os.fdatasync(file.fileno())
            count += 1
        return count / (time.perf_counter() - began)


def set_up(url: str, env: dict[str, str], files: Path) -> str:
    """Publish what is measured, give nginx the same bytes, and return the key."""
    command = [sys.executable, "-m", "hexhub"]
    subprocess.run(
        [*command, "user", "create", "bench", "--email", "bench@example.org"],
        env=env,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    key = subprocess.run(
        [*command, "key", "create", "bench", "--user", "bench", "--permission", "api"],
        env=env,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    for name, size in (("small", SMALL), ("large", LARGE)):
        request = urllib.request.Request(
            f"{url}/api/publish",
            data=packages.tarball(name, "1.0.0", {"data.txt": incompressible(size)}),
            headers={
                "Authorization": key,
                "User-Agent": "bench",
                "Content-Type": "application/octet-stream",
            },
        )
        urllib.request.urlopen(request).close()
    files.mkdir()
    for case in CASES:
        (files / case.file).write_bytes(fetch(url + case.ours, case.accept))
    return key


def measure(
    url: str, nginx: str, seconds: int, rounds: int, connections: int
) -> dict[str, list[tuple[float, float, float, float]]]:
    """Ours and nginx's rate and p99, round by round, alternating."""
    found: dict[str, list[tuple[float, float, float, float]]] = {case.name: [] for case in CASES}
    for _ in range(rounds):
        for case in CASES:
            ours = wrk(url + case.ours, case.accept, connections, seconds)
            theirs = wrk(f"{nginx}/{case.file}", case.accept, connections, seconds)
            found[case.name].append((*ours, *theirs))
    return found


def report(found: dict[str, list[tuple[float, float, float, float]]]) -> None:
    print(f"{'':20} {'ours/s':>9} {'nginx/s':>9} {'ratio':>6} {'p99 ms':>8} {'nginx':>8}")
    for name, rows in found.items():
        ours, p99, theirs, their_p99 = (
            statistics.median(column) for column in zip(*rows, strict=True)
        )
        print(
            f"{name:20} {ours:9.0f} {theirs:9.0f} {ours / theirs:6.2f} {p99:8.2f} {their_p99:8.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=32)
    given = parser.parse_args()
    missing = [tool for tool in ("nginx", "wrk") if shutil.which(tool) is None]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="hexhub-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        ours, theirs = free_port(), free_port()
        env = os.environ | {
            "PORT": str(ours),
            "DATA_DIR": str(folder / "data"),
            "HEXHUB_LOG_LEVEL": "warning",
            "DEPENDENCY_CHECK": "off",
            "UPSTREAM_ENABLED": "false",
        }
        url, nginx = f"http://127.0.0.1:{ours}", f"http://127.0.0.1:{theirs}"
        with process([sys.executable, "-m", "hexhub", "serve"], env):
            wait_for(f"{url}/health/live")
            key = set_up(url, env, folder / "files")
            with process(["nginx", "-c", str(nginx_config(folder, theirs)), "-p", name]):
                wait_for(f"{nginx}/resource")
                found = measure(url, nginx, given.seconds, given.rounds, given.connections)
            rate, median = asyncio.run(publish_rate(url, key))
        print(f"{os.cpu_count()} processors, {given.connections} connections, one process each")
        report(found)
        print(
            f"publish of {SMALL // 1000} KB: {rate:.0f}/s with {PUBLISHERS} publishers, "
            f"median {median:.1f} ms alone; the disk: {fsync_rate(folder):.0f} fdatasyncs/s"
        )


if __name__ == "__main__":
    main()
