"""What the mirror costs: cold beside direct, warm beside nginx, many misses at once, a large registry.

    python -m bench.mirror [--rounds 5] [--seconds 3] [--only registry|cold|misses|warm] [--alone]

Needs `nginx` and `wrk` (both in Debian). An upstream node stands behind a proxy that holds each
request back for 50 ms; clients are eight connections that fetch 60 packages, registry and tarball.
Rounds alternate, so that a slow minute of the machine meets all sides; figures are medians.
With `--alone` (for root) other work of the machine waits during each cold round of about a second.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from aiohttp import ClientSession, TCPConnector
from aiohttp.web import BaseRequest, Response, Server, ServerRunner, StreamResponse, TCPSite
from cryptography.hazmat.primitives.asymmetric import rsa

from bench.http import fetch, free_port, incompressible, process, wait_for, wrk
from hexhub.formats import registry as wire, registry_chunks, signing_key
from hexhub.repositories import resigned, verification
from tests.end_to_end import packages

PACKAGES, CONNECTIONS, LATENCY_S = 60, 8, 0.05
MISSES = 1000
REGISTRY_PACKAGES, REGISTRY_RELEASES = 20_000, 250_000


def node_environment(folder: Path, port: int, **settings: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PORT": str(port),
        "CLUSTER_PORT": str(free_port()),
        "DATA_DIR": str(folder / "data"),
        "HEXHUB_URL": f"http://127.0.0.1:{port}",
        "HEXHUB_LOG_LEVEL": "warning",
        "RATE_LIMITS": "false",
        "UPSTREAM_ENABLED": "false",
        **settings,
    }


@contextmanager
def node(folder: Path, **settings: str) -> Iterator[tuple[str, int, dict[str, str]]]:
    """A node in a folder: its URL, its process id, its environment."""
    folder.mkdir(parents=True)
    port = free_port()
    environment = node_environment(folder, port, **settings)
    with process([sys.executable, "-m", "hexhub", "serve"], environment) as pid:
        url = f"http://127.0.0.1:{port}"
        wait_for(url + "/health/live")
        yield url, pid, environment


async def _publish(url: str, key: str) -> None:
    async with ClientSession(headers={"Authorization": key, "User-Agent": "bench"}) as session:
        for number in range(PACKAGES):
            files = {
                "lib/a.ex": incompressible(random.Random(number).choice((2_000, 20_000, 90_000)))
            }
            body = packages.tarball(f"pack{number}", "1.0.0", files)
            async with session.post(f"{url}/api/publish", data=body) as response:
                assert response.status == 201, await response.text()
        body = packages.tarball("large", "1.0.0", {"lib/a.ex": incompressible(2_000_000)})
        async with session.post(f"{url}/api/publish", data=body) as response:
            assert response.status == 201, await response.text()


def fill(url: str, environment: dict[str, str]) -> None:
    """Publish what is fetched later."""

    def command(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "hexhub", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    command("user", "create", "mara", "--email", "mara@example.org")
    key = command("key", "create", "bench", "--user", "mara", "--permission", "api")
    asyncio.run(_publish(url, key))


async def _serve_slowly(target: str, port: int) -> None:
    """A proxy that holds each request back, and counts those for tarballs."""
    tarballs = 0
    async with ClientSession(auto_decompress=False, connector=TCPConnector(limit=0)) as session:

        async def handle(request: BaseRequest) -> StreamResponse:
            nonlocal tarballs
            if request.path == "/count":
                return Response(text=str(tarballs))
            tarballs += "/tarballs/large" in request.path
            await asyncio.sleep(LATENCY_S)
            async with session.get(target + request.raw_path) as response:
                body = await response.read()
                etag = response.headers.get("ETag", "")
                return Response(status=response.status, body=body, headers={"ETag": etag})

        runner = ServerRunner(Server(handle))
        await runner.setup()
        await TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


async def _get_all(url: str) -> float:
    """Seconds for all packages over a few connections, as a client resolves and fetches."""
    names = asyncio.Queue[int]()
    for number in range(PACKAGES):
        names.put_nowait(number)

    async def client(session: ClientSession) -> None:
        while not names.empty():
            number = names.get_nowait()
            for path in (f"packages/pack{number}", f"tarballs/pack{number}-1.0.0.tar"):
                async with session.get(f"{url}/{path}") as response:
                    assert response.status == 200, (path, response.status)
                    await response.read()

    began = time.perf_counter()
    connector = TCPConnector(limit=CONNECTIONS)
    async with ClientSession(connector=connector, auto_decompress=False) as session:
        await asyncio.gather(*(client(session) for _ in range(CONNECTIONS)))
    return time.perf_counter() - began


async def _misses(url: str) -> None:
    connector = TCPConnector(limit=0)
    async with ClientSession(connector=connector, auto_decompress=False) as session:

        async def one() -> None:
            async with session.get(f"{url}/tarballs/large-1.0.0.tar") as response:
                assert response.status == 200
                async for _ in response.content.iter_chunked(1 << 16):
                    pass

        await asyncio.gather(*(one() for _ in range(MISSES)))


def peak_mb(pid: int) -> float:
    """The most memory that a process has held so far, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1000
    return 0.0


@contextmanager
def alone(*pids: int) -> Iterator[None]:
    """Nothing but these processes and this one runs where they want to; no pids: as ever."""
    threads = [
        int(each.name)
        for pid in (*pids, os.getpid())
        for each in Path(f"/proc/{pid}/task").iterdir()
    ]
    try:
        if pids:
            for thread in threads:
                os.sched_setscheduler(thread, os.SCHED_RR, os.sched_param(1))
        yield
    finally:
        for thread in threads if pids else ():
            with suppress(ProcessLookupError):
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def cold(
    folder: Path, slow: str, mirroring: dict[str, str], rounds: int, pids: tuple[int, ...]
) -> None:
    """Direct and through an empty mirror, in turn; with `pids` alone with those and the mirror."""
    found: list[tuple[float, float]] = []
    for number in range(rounds):
        with node(folder / f"cold{number}", **mirroring) as (url, pid, _):
            fetch(url + "/packages/large")  # the process has been running; its cache is empty
            sides = []
            for side in (slow, url):
                with alone(*(*pids, pid) if pids else ()):
                    sides.append(asyncio.run(_get_all(side)))
            found.append((sides[0], sides[1]))
    ratio = statistics.median(mirror / direct for direct, mirror in found)
    direct, mirror = (statistics.median(each) for each in zip(*found, strict=True))
    print(f"cold, {PACKAGES} packages: direct {direct:.2f} s, mirror {mirror:.2f} s, x{ratio:.2f}")


def nginx_cache(folder: Path, port: int, target: str) -> Path:
    path = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""  # the folder is nobody else's to read
    path.write_text(
        f"""
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on;
  keepalive_requests 1000000;
  proxy_cache_path {folder}/cache keys_zone=hex:10m;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass {target}; proxy_cache hex; proxy_cache_valid 200 1h; proxy_ignore_headers Cache-Control; }}
  }}
}}
"""
    )
    return path


def warm(folder: Path, slow: str, mirroring: dict[str, str], rounds: int, seconds: int) -> None:
    """A mirror that has everything beside nginx that has everything."""
    folder.mkdir()
    port = free_port()
    with (
        node(folder / "node", **mirroring) as (url, _, _),
        process(["nginx", "-c", str(nginx_cache(folder, port, slow))]),
    ):
        nginx = f"http://127.0.0.1:{port}"
        wait_for(nginx + "/packages/pack0")
        for path in ("/packages/pack0", "/tarballs/pack0-1.0.0.tar", "/tarballs/large-1.0.0.tar"):
            fetch(url + path)
            fetch(nginx + path)
            runs = [
                (wrk(url + path, "*/*", 32, seconds)[0], wrk(nginx + path, "*/*", 32, seconds)[0])
                for _ in range(rounds)
            ]
            ours, theirs = (statistics.median(each) for each in zip(*runs, strict=True))
            print(f"warm, {path}: mirror {ours:.0f}/s, nginx {theirs:.0f}/s, {ours / theirs:.2f}")


def stampede(folder: Path, slow: str, mirroring: dict[str, str]) -> None:
    """Many misses of one tarball at one time."""
    before = int(fetch(slow + "/count"))
    with node(folder / "stampede", **mirroring) as (url, pid, _):
        fetch(url + "/packages/large")
        at_rest = peak_mb(pid)
        began = time.perf_counter()
        asyncio.run(_misses(url))
        seconds = time.perf_counter() - began
        grown = peak_mb(pid) - at_rest
    asked = int(fetch(slow + "/count")) - before
    print(
        f"{MISSES} misses of one tarball of 2 MB: {asked} upstream request(s), {seconds:.1f} s, "
        f"peak memory +{grown:.0f} MB"
    )


def registry() -> None:
    """Processor time for a large `versions`: taking a new one in, building the shelf's."""
    random_ = random.Random(1)
    key = rsa.generate_private_key(65537, 2048)
    counts = [1] * REGISTRY_PACKAGES
    weights = [1 / (rank + 3) for rank in range(REGISTRY_PACKAGES)]
    random_.shuffle(weights)
    for index in random_.choices(
        range(REGISTRY_PACKAGES), weights, k=REGISTRY_RELEASES - REGISTRY_PACKAGES
    ):
        counts[index] += 1
    payload = wire.encode_versions(
        "hexpm",
        (
            wire.VersionsEntry(
                f"package_{index:05}",
                tuple(f"{n // 40}.{n // 5 % 8}.{n % 5}" for n in range(count)),
            )
            for index, count in enumerate(counts)
        ),
    )
    body = wire.seal(payload, key)
    old = registry_chunks.split(payload)[1]

    def take() -> None:
        new = registry_chunks.split(verification.payload(body, key.public_key()))[1]
        verification.no_older_list(old, new, dated=False)

    def build() -> None:
        merged = dict(old)
        payload = wire.join((merged[name] for name in sorted(merged)), "hexpm")
        resigned.sign(payload, key)

    print(
        f"versions of {REGISTRY_PACKAGES} packages and {REGISTRY_RELEASES} releases, "
        f"{len(payload) / 1e6:.1f} MB: take in {_cpu_ms(take):.0f} ms, build {_cpu_ms(build):.0f} ms"
    )


def _cpu_ms(work: Callable[[], None]) -> float:
    found = []
    for _ in range(5):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return statistics.median(found) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", choices=("registry", "cold", "misses", "warm"))
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--slowly", nargs=2, metavar=("URL", "PORT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.slowly:
        asyncio.run(_serve_slowly(options.slowly[0], int(options.slowly[1])))
        return
    if options.only in (None, "registry"):
        registry()
    if options.only == "registry":
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream, upstream_pid, environment = stack.enter_context(node(folder / "upstream"))
        fill(upstream, environment)
        port = free_port()
        command = [sys.executable, "-m", "bench.mirror", "--slowly", upstream, str(port)]
        proxy_pid = stack.enter_context(process(command))
        slow = f"http://127.0.0.1:{port}"
        wait_for(slow + "/count")
        key = folder / "upstream.pem"
        key.write_bytes(fetch(upstream + "/public_key"))
        signing_key.load_public_key(key.read_bytes())
        mirroring = {
            "UPSTREAM_ENABLED": "true",
            "UPSTREAM_REPO_URL": slow,
            "UPSTREAM_PUBLIC_KEY_FILE": str(key),
        }
        if options.only in (None, "cold"):
            pids = (upstream_pid, proxy_pid) if options.alone else ()
            cold(folder, slow, mirroring, options.rounds, pids)
        if options.only in (None, "misses"):
            stampede(folder, slow, mirroring)
        if options.only in (None, "warm"):
            warm(folder / "warm", slow, mirroring, options.rounds, options.seconds)


if __name__ == "__main__":
    main()
