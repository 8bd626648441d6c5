"""Bad days of a real node: told to stop under load, slow clients, no descriptors left, no room."""

from __future__ import annotations

import http.client
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.end_to_end.node import ROOT, RunningNode
from tests.end_to_end.packages import tarball
from tests.hexhub.packages import package

LARGE = 6 << 20


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    running = RunningNode(tmp_path, {"RATE_LIMITS": "false"})
    running.create_user("mara")
    yield running
    running.stop()


def random_package(name: str, size: int) -> bytes:
    import os

    return tarball(name, "1.0.0", {"mix.exs": b"# mix", "data": os.urandom(size)})


def within(seconds: float, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_what_was_accepted_before_sigterm_is_finished(node: RunningNode) -> None:
    key = node.create_key("mara", "api")
    assert (
        node.request("POST", "/api/publish", key=key, body=random_package("big", LARGE)).status
        == 201
    )
    half_sent = threading.Barrier(9)
    stopping = threading.Event()

    def upload(number: int) -> int:
        body = package(f"package_{number}")
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
        connection.putrequest("POST", "/api/publish")
        connection.putheader("Authorization", key)
        connection.putheader("User-Agent", "hex_core/0.10 (test)")
        connection.putheader("Content-Type", "application/octet-stream")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[:100])
        half_sent.wait(20)
        stopping.wait(20)
        connection.send(body[100:])
        status = connection.getresponse().status
        connection.close()
        return status

    def download(number: int) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
        connection.request("GET", "/tarballs/big-1.0.0.tar")
        response = connection.getresponse()
        begun = len(response.read(1000))
        half_sent.wait(20)
        stopping.wait(20)
        size = begun + len(response.read())
        connection.close()
        return size

    with ThreadPoolExecutor(8) as threads:
        uploads = [threads.submit(upload, number) for number in range(4)]
        downloads = [threads.submit(download, number) for number in range(4)]
        half_sent.wait(20)
        time.sleep(0.3)
        node.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        stopping.set()
        assert [each.result(40) for each in uploads] == [201] * 4
        sizes = {each.result(40) for each in downloads}
    assert node.process.wait(40) == 0
    node.restart()
    assert sizes == {len(node.request("GET", "/tarballs/big-1.0.0.tar").body)}
    for number in range(4):
        assert node.request("GET", f"/api/packages/package_{number}").status == 200


def memory(node: RunningNode) -> int:
    """Resident memory of the node in bytes."""
    text = Path(f"/proc/{node.process.pid}/status").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


@pytest.mark.long
def test_a_thousand_readers_that_do_not_read_cost_little_and_harm_nobody(
    node: RunningNode, record_property: Callable[[str, object], None]
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 6000:
        pytest.skip("too few descriptors allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 6000), hard))
    subprocess.run(
        ["prlimit", f"--nofile=6000:{hard}", "--pid", str(node.process.pid)], check=False
    )
    key = node.create_key("mara", "api")
    assert (
        node.request("POST", "/api/publish", key=key, body=random_package("big", LARGE)).status
        == 201
    )
    node.request("GET", "/tarballs/big-1.0.0.tar")
    before = memory(node)
    with ExitStack() as stack:
        for _ in range(1000):
            client = socket.socket()
            stack.callback(client.close)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", node.port))
            client.sendall(b"GET /tarballs/big-1.0.0.tar HTTP/1.1\r\nHost: hub\r\n\r\n")
        time.sleep(1)
        for _ in range(5):
            assert node.request("GET", "/api/packages/big").status == 200
            assert len(node.request("GET", "/tarballs/big-1.0.0.tar").body) > LARGE
        grown = memory(node) - before
        record_property("grown_bytes", grown)
        print(f"a thousand slow readers: {grown >> 20} MiB more")
    assert grown < 400 << 20
    assert node.request("GET", "/health").status == 200


@pytest.mark.long
def test_a_node_without_descriptors_comes_back(tmp_path: Path) -> None:
    node = RunningNode(tmp_path, {"RATE_LIMITS": "false"})
    try:
        used = len(list(Path(f"/proc/{node.process.pid}/fd").iterdir()))
        limit = used + 30
        done = subprocess.run(
            ["prlimit", f"--nofile={limit}:{limit}", "--pid", str(node.process.pid)], check=False
        )
        if done.returncode:
            pytest.skip("no prlimit here")
        with ExitStack() as stack:
            for _ in range(60):
                client = socket.create_connection(("127.0.0.1", node.port), timeout=5)
                stack.callback(client.close)
            time.sleep(0.5)
            assert node.process.poll() is None

        def answers() -> bool:
            try:
                return node.request("GET", "/health").status == 200
            except OSError:
                return False

        within(20, answers)
    finally:
        assert node.stop() == 0


def test_a_backup_without_room_leaves_nothing_and_the_node_well(
    node: RunningNode, tmp_path: Path
) -> None:
    key = node.create_key("mara", "api")
    assert (
        node.request("POST", "/api/publish", key=key, body=random_package("big", LARGE)).status
        == 201
    )
    folder = tmp_path / "backups"
    folder.mkdir()
    command = [
        sys.executable,
        "-m",
        "hexhub",
        "backup",
        "create",
        str(folder / "b"),
        "--without-secrets",
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=node.environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
    )
    assert done.returncode == 1, done
    assert "the backup was not made: File too large" in done.stderr
    assert list(folder.iterdir()) == []
    assert node.request("GET", "/health").status == 200
    assert node.command("backup", "create", str(folder / "b"), "--without-secrets")
