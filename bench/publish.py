"""Durable publishes of 20 KB a second by several publishers at once, and what stands in the way.

    python -m bench.publish [--nodes 1 3] [--publishers 16] [--seconds 6]

Beside each rate: how long one publish takes alone, how many durable writes the disk takes, and the
processor seconds that nodes and publishers used. Publishers are a process of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench import nodes
from bench.nodes import BenchNode
from tests.end_to_end import packages

SIZE = 20_000
MEMBERS_S = 30.0


class Said(msgspec.Struct):
    """What the publishers saw: how long each publish took, the whole time, their processor time."""

    took: list[float]
    seconds: float
    cpu: float


@dataclass(frozen=True)
class Figures:
    """One line of the report."""

    nodes: int
    rate: float
    median_ms: float
    p99_ms: float
    alone_ms: float
    node_cpu: float
    """Processor seconds of all nodes in a second."""
    client_cpu: float


def tarball(name: str) -> bytes:
    """A package of about 20 KB that gzip cannot make smaller."""
    return packages.tarball(name, "1.0.0", {"data.txt": os.urandom(SIZE * 3 // 4)})


def _request(port: int, key: str, body: bytes) -> bytes:
    head = (
        f"POST /api/publish HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: bench\r\n"
        f"Accept: application/json\r\nAuthorization: {key}\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _publisher(port: int, requests: list[bytes], until: float, took: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while requests and time.perf_counter() < until:
        data, began = requests.pop(), time.perf_counter()
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 201"):
            sys.exit(f"publish answered {head.decode()} {body.decode()}")
        took.append(time.perf_counter() - began)
    writer.close()


async def _publish(ports: list[int], key: str, publishers: int, seconds: float, tag: str) -> Said:
    """What a process of publishers does; tarballs are made before the clock runs."""
    count = int(900 * seconds) if publishers > 1 else int(150 * seconds)
    each = count // len(ports)
    requests = [
        [_request(port, key, tarball(f"{tag}_{port}_{number}")) for number in range(each)]
        for port in ports
    ]
    took: list[float] = []
    cpu, began = time.process_time(), time.perf_counter()
    await asyncio.gather(
        *(
            _publisher(ports[at % len(ports)], requests[at % len(ports)], began + seconds, took)
            for at in range(publishers)
        )
    )
    return Said(took, time.perf_counter() - began, time.process_time() - cpu)


def _publishers(
    ports: list[int], key: str, publishers: int, seconds: float, tag: str
) -> tuple[Said, float]:
    """What another process saw, and when it was there."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench.publish", "--as-publishers", key, tag),
            *("--publishers", str(publishers), "--seconds", str(seconds)),
            *("--ports", *map(str, ports)),
        ],
        check=True,
        capture_output=True,
    )
    return msgspec.json.decode(done.stdout, type=Said), seconds


def measure(members: list[BenchNode], publishers: int, seconds: float) -> Figures:
    """Publish alone, then together."""
    key = members[0].key()
    ports = [member.port for member in members]
    alone, _ = _publishers(ports[:1], key, 1, 2.0, "alone")
    _publishers(ports, key, publishers, 1.0, "warm")
    before = sum(member.cpu_s() for member in members)
    said, _ = _publishers(ports, key, publishers, seconds, "many")
    cpu = sum(member.cpu_s() for member in members) - before
    quantiles = statistics.quantiles(said.took, n=100)
    return Figures(
        nodes=len(members),
        rate=len(said.took) / said.seconds,
        median_ms=statistics.median(said.took) * 1000,
        p99_ms=quantiles[98] * 1000,
        alone_ms=statistics.median(alone.took) * 1000,
        node_cpu=cpu / said.seconds,
        client_cpu=said.cpu / said.seconds,
    )


def start(stack: ExitStack, folder: Path, count: int) -> list[BenchNode]:
    """One node, or members of a cluster, ready."""
    if count == 1:
        member = stack.enter_context(nodes.node(folder / "one"))
        member.wait_for("/health/ready")
        return [member]
    ports = [nodes.free_port() for _ in range(count)]
    listed = ",".join(f"n{at}@127.0.0.1:{port}" for at, port in enumerate(ports))
    members = [
        stack.enter_context(
            nodes.node(
                folder / f"n{at}",
                NODE_NAME=f"n{at}",
                CLUSTERING_ENABLED="true",
                CLUSTER_PORT=str(port),
                CLUSTER_NODES=listed,
                HEXHUB_HOST="127.0.0.1",
                SECRET_KEY_BASE="0123456789abcdef" * 4,
            )
        )
        for at, port in enumerate(ports)
    ]
    for member in members:
        member.wait_for("/health/ready")
    return members


def report(found: list[Figures], disk: tuple[float, float]) -> None:
    """A table, and the disk."""
    print(
        f"{'nodes':>5} {'a second':>9} {'median ms':>10} {'p99 ms':>7} {'alone ms':>9} "
        f"{'CPU of nodes':>13} {'of publishers':>14}"
    )
    for each in found:
        print(
            f"{each.nodes:5} {each.rate:9.0f} {each.median_ms:10.1f} {each.p99_ms:7.1f} "
            f"{each.alone_ms:9.1f} {each.node_cpu:13.2f} {each.client_cpu:14.2f}"
        )
    print(
        f"the disk: {disk[0]:.0f} durable writes of 4 KiB a second one at a time, "
        f"{disk[1]:.0f} by sixteen threads; {os.cpu_count()} processors"
    )
    if len(found) > 1:
        print(f"{found[-1].nodes} nodes beside one: {found[-1].rate / found[0].rate:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--publishers", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--as-publishers", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--ports", type=int, nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.as_publishers:
        key, tag = given.as_publishers
        said = asyncio.run(_publish(given.ports, key, given.publishers, given.seconds, tag))
        sys.stdout.buffer.write(msgspec.json.encode(said))
        return
    found = []
    with tempfile.TemporaryDirectory(prefix="hexhub-bench-") as name:
        folder = Path(name)
        disk = nodes.fsync_rates(folder)
        for count in given.nodes:
            with ExitStack() as stack:
                found.append(measure(start(stack, folder, count), given.publishers, given.seconds))
    report(found, disk)


if __name__ == "__main__":
    main()
