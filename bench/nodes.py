"""Real nodes for measurements: started, asked, and looked at from outside."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
START_S = 60.0


@dataclass(frozen=True)
class BenchNode:
    """A node of a measurement; `started` is when its process was, on the monotonic clock."""

    url: str
    port: int
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes]
    started: float

    def processes(self) -> list[int]:
        """The process and all it has started."""
        found = [self.process.pid]
        for pid in found:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                found += [int(child) for child in children.read_text().split()]
        return found

    def memory(self) -> tuple[int, int]:
        """Resident bytes of all processes: their own, and pages of files (LMDB, programs)."""
        own = files = 0
        for pid in self.processes():
            fields = _status(pid)
            own += fields.get("RssAnon", 0)
            files += fields.get("RssFile", 0)
        return own * 1024, files * 1024

    def cpu_s(self) -> float:
        """Processor seconds of all processes so far."""
        return sum(_cpu_s(pid) for pid in self.processes())

    def descriptors(self) -> int:
        """Open files and sockets of the main process."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def run(self, *command: str) -> str:
        """What a command of `hexhub` printed."""
        done = subprocess.run(
            [sys.executable, "-m", "hexhub", *command],
            env=dict(self.environment),
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def key(self, user: str = "bench") -> str:
        """A key of a user that is made unless it is there."""
        if user not in self.run("user", "list", "--json"):
            self.run("user", "create", user, "--email", f"{user}@example.org")
        return self.run("key", "create", f"bench{time.time_ns()}", "--user", user)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The body of an answer; urllib's errors for any other status than 200."""
        request = urllib.request.Request(
            self.url + path, headers={"User-Agent": "bench", "Accept": "*/*", **(headers or {})}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            body: bytes = response.read()
            return body

    def publish(self, key: str, data: bytes) -> None:
        """Publish a package; urllib's errors when it is refused."""
        request = urllib.request.Request(
            f"{self.url}/api/publish",
            data=data,
            headers={
                "Authorization": key,
                "User-Agent": "bench",
                "Content-Type": "application/octet-stream",
            },
        )
        urllib.request.urlopen(request, timeout=60).close()

    def wait_for(self, path: str) -> float:
        """Seconds from the start of the process until this path answers 200."""
        while time.monotonic() - self.started < START_S:
            try:
                self.get(path)
                return time.monotonic() - self.started
            except OSError:
                time.sleep(0.01)
        sys.exit(f"{self.url}{path} does not answer")


def _status(pid: int) -> dict[str, int]:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return {}
    lines = (line.split() for line in text.splitlines())
    return {line[0].rstrip(":"): int(line[1]) for line in lines if line[-1:] == ["kB"]}


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def node(folder: Path, **settings: str) -> Iterator[BenchNode]:
    """A node over a data directory, not yet ready; ended afterwards."""
    port = free_port()
    environment = os.environ | {
        "PORT": str(port),
        "DATA_DIR": str(folder),
        "HEXHUB_LOG_LEVEL": "warning",
        "DEPENDENCY_CHECK": "off",
        "UPSTREAM_ENABLED": "false",
        "CLUSTERING_ENABLED": "false",
        **settings,
    }
    started = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "hexhub", "serve"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=None if "BENCH_SHOW" in os.environ else subprocess.DEVNULL,
    ) as process:
        try:
            yield BenchNode(f"http://127.0.0.1:{port}", port, environment, process, started)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()


def fsync_rates(folder: Path) -> tuple[float, float]:
    """Durable writes per second of 4 KiB: one at a time, and by sixteen threads together."""
    return _fsyncs(folder, 1), _fsyncs(folder, 16)


def _fsyncs(folder: Path, threads: int) -> float:
    code = (
        "import os,sys,time,threading\n"
        "folder,threads=sys.argv[1],int(sys.argv[2])\n"
        "counts=[0]*threads\n"
        "def work(n):\n"
        "  with open(f'{folder}/fsync{n}','wb',buffering=0) as file:\n"
        "    while time.monotonic()<end:\n"
        "      file.write(b'x'*4096); os.fdatasync(file.fileno()); counts[n]+=1\n"
        "end=time.monotonic()+1.5\n"
        "all=[threading.Thread(target=work,args=(n,)) for n in range(threads)]\n"
        "[each.start() for each in all]; [each.join() for each in all]\n"
        "print(sum(counts)/1.5)\n"
    )
    command = [sys.executable, "-c", code, str(folder), str(threads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    for each in folder.glob("fsync*"):
        each.unlink()
    return float(done.stdout)
