"""What thousands of idle kept-alive connections cost: memory, and the slowest of active requests.

    python -m bench.idle [--connections 10000] [--seconds 4]

The descriptor limit is raised as far as it may be; what was reached is printed. Clients are in
processes of their own, each with its own address of the loopback, so ports suffice.
"""

from __future__ import annotations

import argparse
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import nodes
from bench.nodes import BenchNode
from tests.end_to_end import packages

MEGABYTE = 1 << 20
SPARE = 200
"""Descriptors that a process needs for other things."""
REQUEST = b"GET /packages/small HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"


def raise_limit() -> int:
    """As many descriptors as this process may have; its children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def hold(port: int, count: int) -> None:
    """Open connections, ask once on each, say so, and keep them until stdin ends."""
    held = []
    for number in range(count):
        sock = socket.socket()
        sock.bind((f"127.0.{1 + number // 20_000}.1", 0))
        sock.connect(("127.0.0.1", port))
        sock.sendall(REQUEST)
        if not sock.recv(65536).startswith(b"HTTP/1.1 200"):
            sys.exit("an idle connection was refused")
        held.append(sock)
    print(len(held), flush=True)
    sys.stdin.read()


def active(url: str, seconds: int) -> tuple[float, float]:
    """Requests a second on 32 connections, and their 99th percentile in milliseconds."""
    command = ["wrk", "-t1", "-c32", f"-d{seconds}s", "--latency", "-H", "User-Agent: bench", url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", out)
    if rate is None or p99 is None or "Non-2xx" in out:
        sys.exit(f"wrk on {url} failed:\n{out}")
    return float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99[2]]


def measure(member: BenchNode, connections: int, seconds: int) -> None:
    """Active requests without, with, and again without idle connections, and memory for each."""
    url = f"{member.url}/packages/small"
    active(url, 1)
    before = active(url, seconds), member.memory()[0]
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "bench.idle", "--hold", str(member.port), str(connections)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        opened = holder.stdout.readline().decode().strip() or "no"
        took = time.perf_counter() - began
        idle = member.memory()[0]
        during = active(url, seconds), member.memory()[0]
        assert holder.stdin is not None
        holder.stdin.close()
        holder.wait(timeout=60)
    after = active(url, seconds), member.memory()[0]
    for what, ((rate, p99), memory) in (
        ("without", before),
        (f"with {opened} idle", during),
        ("without again", after),
    ):
        print(f"{what:20} {rate:9.0f} a second, p99 {p99:6.2f} ms, {memory / MEGABYTE:6.0f} MB")
    print(f"idle connections: {(idle - before[1]) / MEGABYTE:.0f} MB more, opened in {took:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--hold", type=int, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    limit = raise_limit()
    if given.hold:
        hold(*given.hold)
        return
    connections = min(given.connections, limit - SPARE)
    print(f"{connections} connections; the limit of descriptors is {limit}")
    with (
        tempfile.TemporaryDirectory(prefix="hexhub-bench-") as name,
        nodes.node(Path(name) / "data", WORKERS=str(given.workers)) as member,
    ):
        member.wait_for("/health/ready")
        member.publish(member.key(), packages.tarball("small", "1.0.0", {"a": b"x" * 1500}))
        measure(member, connections, given.seconds)


if __name__ == "__main__":
    main()
