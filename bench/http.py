"""Requests per second of a node beside nginx serving the same bytes as files, in one run.

    python -m bench.http [--seconds 2] [--rounds 5] [--only WORDS]

Needs `nginx` and `wrk` (both in Debian). Runs alternate, so that a slow minute of the machine meets
both sides; figures are medians. One process stands against one: nginx has one worker, the node one
process. The rows `two processes` stand against the same node with `WORKERS=1`, and show requests
per second of processor time, which is what two processes can be judged by where they share their
processors with the load. Publishing is measured by `bench/publish.py`.
"""

from __future__ import annotations

import argparse
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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end import packages

SMALL, LARGE = 20_000, 2_000_000


@dataclass(frozen=True)
class Side:
    """What wrk asks: a path of a server, as `key` or nobody."""

    server: str
    path: str
    key: bool = False


@dataclass(frozen=True)
class Case:
    """Two sides that are measured in turn; `reach` is the ratio to come to."""

    name: str
    ours: Side
    theirs: Side
    reach: float
    connections: int = 32
    method: str = "GET"
    conditional: bool = False
    accept: str = "*/*"


RESOURCE = Side("one", "/packages/small")
PRIVATE = Side("one", "/repos/acme/packages/small", key=True)
JSON = "application/json"

CASES = (
    Case("registry resource", RESOURCE, Side("nginx", "/resource"), 1.0),
    Case("registry resource, 256 connections", RESOURCE, Side("nginx", "/resource"), 1.0, 256),
    Case("304", RESOURCE, Side("nginx", "/resource"), 1.0, conditional=True),
    Case("HEAD", RESOURCE, Side("nginx", "/resource"), 1.0, method="HEAD"),
    Case(
        "tarball of 20 KB", Side("one", "/tarballs/small-1.0.0.tar"), Side("nginx", "/small"), 0.8
    ),
    Case("tarball of 2 MB", Side("one", "/tarballs/large-1.0.0.tar"), Side("nginx", "/large"), 0.9),
    Case("private resource beside anonymous", PRIVATE, RESOURCE, 0.7),
    Case(
        "package in JSON, one process",
        Side("one", "/api/packages/small"),
        Side("nginx", "/package"),
        0.0,
        accept=JSON,
    ),
    Case(
        "package in JSON, two processes beside one",
        Side("two", "/api/packages/small"),
        Side("one", "/api/packages/small"),
        0.0,
        accept=JSON,
    ),
    Case(
        "first page of packages, two processes beside one",
        Side("two", "/api/packages"),
        Side("one", "/api/packages"),
        0.0,
        accept=JSON,
    ),
    Case(
        "registry resource, two processes beside one", Side("two", "/packages/small"), RESOURCE, 0.9
    ),
    Case(
        "registry resource, two processes beside one, 256 connections",
        Side("two", "/packages/small"),
        RESOURCE,
        0.9,
        256,
    ),
)
FILES = {
    "resource": "/packages/small",
    "small": "/tarballs/small-1.0.0.tar",
    "large": "/tarballs/large-1.0.0.tar",
    "package": "/api/packages/small",
}
"""What nginx serves, and where the node has it."""


@dataclass(frozen=True)
class Found:
    """One run: requests a second, p99 in milliseconds, requests per second of processor time."""

    rate: float
    p99: float
    per_cpu: float


@dataclass(frozen=True)
class Server:
    url: str
    pid: int


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


def wrk(
    url: str,
    accept: str,
    connections: int,
    seconds: int,
    headers: tuple[str, ...] = (),
) -> tuple[float, float]:
    """Requests per second, and the 99th percentile in milliseconds."""
    given = ["-H", f"Accept: {accept}", "-H", "User-Agent: bench"]
    for line in headers:
        given += ["-H", line]
    out = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *given, url],
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


def heads(url: str, connections: int, seconds: int) -> tuple[float, float]:
    """The same for HEAD, to which wrk waits for a body for ever."""
    given = [sys.executable, "-m", "bench.heads", url, str(connections), str(seconds)]
    out = subprocess.run(given, capture_output=True, text=True, check=True).stdout.split()
    return float(out[0]), float(out[1])


def set_up(url: str, env: dict[str, str], files: Path) -> str:
    """Publish what is measured, give nginx the same bytes, and return the key."""
    command = [sys.executable, "-m", "hexhub"]

    def run(*words: str) -> str:
        done = subprocess.run(
            [*command, *words], env=env, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    run("user", "create", "bench", "--email", "bench@example.org")
    wanted = ("--permission", "api", "--permission", "repositories")
    key = run("key", "create", "bench", "--user", "bench", *wanted)
    run("org", "create", "acme", "--admin", "bench")
    for repository in ("", "/repos/acme"):
        for name, size in (("small", SMALL), ("large", LARGE)):
            request = urllib.request.Request(
                f"{url}/api{repository}/publish",
                data=packages.tarball(name, "1.0.0", {"data.txt": incompressible(size)}),
                headers={
                    "Authorization": key,
                    "User-Agent": "bench",
                    "Content-Type": "application/octet-stream",
                },
            )
            urllib.request.urlopen(request).close()
    files.mkdir(exist_ok=True)
    for name, path in FILES.items():
        (files / name).write_bytes(fetch(url + path, JSON if "/api/" in path else "*/*"))
    return key


def processor_seconds(pid: int) -> float:
    """What a process and its children have used so far."""
    total = 0.0
    waiting = [pid]
    while waiting:
        each = waiting.pop()
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            children = Path(f"/proc/{each}/task/{each}/children").read_text()
        except OSError:
            continue
        waiting += map(int, children.split())
    return total


def one(case: Case, side: Side, servers: dict[str, Server], key: str, seconds: int) -> Found:
    server = servers[side.server]
    headers: tuple[str, ...] = (f"Authorization: {key}",) if side.key else ()
    url = server.url + side.path
    if case.conditional:
        with urllib.request.urlopen(url) as response:
            headers += (f"If-None-Match: {response.headers['ETag']}",)
    before = processor_seconds(server.pid)
    if case.method == "HEAD":
        rate, p99 = heads(url, case.connections, seconds)
    else:
        rate, p99 = wrk(url, case.accept, case.connections, seconds, headers)
    used = processor_seconds(server.pid) - before
    return Found(rate, p99, rate * seconds / used if used else 0.0)


def report(found: dict[Case, list[tuple[Found, Found]]]) -> None:
    """The table, in Markdown."""
    print(
        "| work | ours, a second | theirs | ratio | reach | p99 ms | theirs | per CPU-second | theirs | ratio |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for case, rounds in found.items():

        def middle(pick: int, figure: str, rounds: list[tuple[Found, Found]] = rounds) -> float:
            return float(statistics.median(getattr(pair[pick], figure) for pair in rounds))

        ratio = statistics.median(ours.rate / theirs.rate for ours, theirs in rounds)
        per_cpu = statistics.median(
            ours.per_cpu / theirs.per_cpu if theirs.per_cpu else 0.0 for ours, theirs in rounds
        )
        print(
            f"| {case.name} | {middle(0, 'rate'):,.0f} | {middle(1, 'rate'):,.0f} | {ratio:.2f} "
            f"| {case.reach or '–'} | {middle(0, 'p99'):.2f} | {middle(1, 'p99'):.2f} "
            f"| {middle(0, 'per_cpu'):,.0f} | {middle(1, 'per_cpu'):,.0f} | {per_cpu:.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    given = parser.parse_args()
    missing = [tool for tool in ("nginx", "wrk") if shutil.which(tool) is None]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}")
    cases = [case for case in CASES if given.only in case.name]
    with tempfile.TemporaryDirectory(prefix="hexhub-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        servers, key = serve(folder, stack)
        found: dict[Case, list[tuple[Found, Found]]] = {case: [] for case in cases}
        for _ in range(given.rounds):
            for case in cases:
                ours = one(case, case.ours, servers, key[case.ours.server], given.seconds)
                theirs = one(case, case.theirs, servers, key[case.theirs.server], given.seconds)
                found[case].append((ours, theirs))
        print(f"{os.cpu_count()} processors, {given.rounds} rounds of {given.seconds} s each\n")
        report(found)


def serve(folder: Path, stack: ExitStack) -> tuple[dict[str, Server], dict[str, str]]:
    """A node of one process, one of two, nginx; and the key for each."""
    servers, keys = {}, {"nginx": ""}
    for name, workers in (("one", 1), ("two", 2)):
        port = free_port()
        env = os.environ | {
            "PORT": str(port),
            "CLUSTER_PORT": str(free_port()),
            "DATA_DIR": str(folder / name),
            "WORKERS": str(workers),
            "HEXHUB_LOG_LEVEL": "warning",
            "DEPENDENCY_CHECK": "off",
            "UPSTREAM_ENABLED": "false",
        }
        url = f"http://127.0.0.1:{port}"
        pid = stack.enter_context(process([sys.executable, "-m", "hexhub", "serve"], env))
        wait_for(f"{url}/health/live")
        keys[name] = set_up(url, env, folder / "files")
        servers[name] = Server(url, pid)
    port = free_port()
    config = nginx_config(folder, port)
    pid = stack.enter_context(process(["nginx", "-c", str(config), "-p", str(folder)]))
    url = f"http://127.0.0.1:{port}"
    wait_for(f"{url}/resource")
    servers["nginx"] = Server(url, pid)
    return servers, keys


if __name__ == "__main__":
    main()
