"""Bad days of a real node: told to stop under load, slow clients, no descriptors left, no room."""

from __future__ import annotations

import http.client
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.end_to_end.node import ROOT, RunningNode
from tests.end_to_end.packages import tarball
from tests.hexhub.packages import package
from tests.programs import cannot

LARGE = 6 << 20


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    running = RunningNode(tmp_path, {"RATE_LIMITS": "false"})
    running.create_user("mara")
    yield running
    running.stop()


def random_package(name: str, size: int) -> bytes:
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


@pytest.mark.long
def test_a_client_that_never_ends_does_not_keep_a_node_from_stopping(node: RunningNode) -> None:
    """SIGTERM drains for thirty seconds and not for ever; compose and systemd grant thirty-five."""
    key = node.create_key("mara", "api")
    node.must_publish(random_package("big", LARGE), key)
    with ExitStack() as stack:
        client = opened(node, stack)
        client.sendall(b"GET /tarballs/big-1.0.0.tar HTTP/1.1\r\nHost: hub\r\n\r\n")
        assert client.recv(100)
        node.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        within(10, lambda: "stopping" in node.log_text())
        assert node.process.wait(60) == 0
        print(f"stopped after {time.monotonic() - began:.1f} s")
        assert '"stopped"' in node.log_text()


@pytest.mark.long
def test_no_request_that_reached_the_node_fails_when_it_is_stopped_under_load(
    node: RunningNode,
) -> None:
    """New connections and kept ones, reads and publishes: each is answered, or was never taken."""
    key = node.create_key("mara", "api")
    node.must_publish(package("one"), key)
    stopping = threading.Event()
    failures: list[str] = []
    published: list[str] = []
    served = 0

    def fresh(worker: int) -> None:
        nonlocal served
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
            try:
                connection.connect()
            except OSError:
                if stopping.is_set():
                    return
                raise
            try:
                if worker % 2:
                    connection.request("GET", "/api/packages/one", None, {"user-agent": "load"})
                else:
                    name = f"p{worker}_{time.monotonic_ns()}"
                    headers = {
                        "authorization": key,
                        "user-agent": "load",
                        "content-type": "application/octet-stream",
                    }
                    connection.request("POST", "/api/publish", package(name), headers)
                response = connection.getresponse()
                said = response.read()
                if response.status == 201:
                    published.append(name)
                elif response.status != 200:
                    failures.append(f"{response.status} {said[:200]!r}")
                served += 1
            except (OSError, http.client.HTTPException) as error:
                failures.append(f"{worker}: {error!r}")
            finally:
                connection.close()

    def kept(worker: int) -> None:
        """As HTTP/1.1 has it: what was told that it is the last answer begins anew."""
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
            try:
                connection.connect()
            except OSError:
                return
            try:
                last = False
                while not last:
                    connection.request("GET", "/tarballs/one-1.0.0.tar")
                    response = connection.getresponse()
                    last = response.headers.get("connection") == "close"
                    said = response.read()
                    if said != package("one"):
                        failures.append(f"{response.status} {said[:200]!r}")
            except (OSError, http.client.HTTPException) as error:
                failures.append(f"kept {worker}: {error!r}")
            finally:
                connection.close()

    with ThreadPoolExecutor(16) as threads:
        work = [threads.submit(kept if n % 4 == 3 else fresh, n) for n in range(16)]
        within(20, lambda: served > 200)
        stopping.set()
        node.process.send_signal(signal.SIGTERM)
        for each in work:
            each.result(60)
    assert node.process.wait(40) == 0
    assert failures == []
    node.restart()
    for name in published:
        assert node.request("GET", f"/tarballs/{name}-1.0.0.tar").status == 200


def memory(node: RunningNode) -> int:
    """Resident memory of the node in bytes."""
    text = Path(f"/proc/{node.process.pid}/status").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def with_descriptors(node: RunningNode, count: int) -> None:
    """Let this process and the node have so many open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        cannot("too few descriptors are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE, (count, hard))


def opened(node: RunningNode, stack: ExitStack) -> socket.socket:
    """A connection that takes in as little as it can."""
    client = socket.socket()
    stack.callback(client.close)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", node.port))
    return client


def cpu_seconds(node: RunningNode) -> float:
    """Processor time of the node so far."""
    fields = Path(f"/proc/{node.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.long
def test_a_thousand_readers_that_do_not_read_cost_little_and_harm_nobody(
    node: RunningNode, record_property: Callable[[str, object], None]
) -> None:
    with_descriptors(node, 6000)
    key = node.create_key("mara", "api")
    node.must_publish(random_package("big", LARGE), key)
    node.request("GET", "/tarballs/big-1.0.0.tar")
    before = memory(node)
    with ExitStack() as stack:
        for _ in range(1000):
            opened(node, stack).sendall(
                b"GET /tarballs/big-1.0.0.tar HTTP/1.1\r\nHost: hub\r\n\r\n"
            )
        time.sleep(1)
        for _ in range(5):
            assert node.request("GET", "/api/packages/big").status == 200
            assert len(node.request("GET", "/tarballs/big-1.0.0.tar").body) > LARGE
        node.must_publish(package("meanwhile"), key)
        grown = memory(node) - before
        record_property("grown_bytes", grown)
        print(f"a thousand slow readers: {grown >> 20} MiB more")
    assert grown < 300 << 20
    assert node.request("GET", "/health").status == 200


HEAD = "POST {} HTTP/1.1\r\nHost: hub\r\nUser-Agent: slow\r\nContent-Type: {}\r\nContent-Length: {}\r\n"


@pytest.mark.long
def test_a_thousand_writers_that_hardly_write_cost_little_and_harm_nobody(
    node: RunningNode, record_property: Callable[[str, object], None]
) -> None:
    """Half of them send tarballs as somebody, half send parsed bodies as nobody; then all stall."""
    with_descriptors(node, 6000)
    key = node.create_key("mara", "api")
    node.create_user("nils")
    slow = node.create_key("nils", "api")
    node.must_publish(package("one"), key)
    before = memory(node)
    uploads = HEAD.format("/api/publish", "application/octet-stream", 8 << 20)
    uploads += f"Authorization: {slow}\r\n\r\n"
    bodies = HEAD.format("/api/users", "application/json", 7 << 20) + "\r\n"
    seen = 0
    with ExitStack() as stack:
        stop = threading.Event()
        clients: list[socket.socket] = []

        def trickle() -> None:
            while not stop.wait(0.5):
                for client in clients:
                    with suppress(OSError):  # those that were refused
                        client.send(b"x" * 64)

        for number in range(1000):
            client = opened(node, stack)
            client.setblocking(False)
            client.send((bodies if number % 2 else uploads).encode())
            with suppress(OSError):  # as much as it takes without waiting
                for _ in range(40):
                    client.send(b" " * (1 << 16))
            clients.append(client)
        trickling = threading.Thread(target=trickle)
        trickling.start()
        try:
            for number in range(10):
                assert node.request("GET", "/api/packages/one").status == 200
                node.must_publish(package(f"fast_{number}"), key)
                seen = max(seen, memory(node) - before)
        finally:
            stop.set()
            trickling.join()
        record_property("grown_bytes", seen)
        print(f"a thousand slow writers: {seen >> 20} MiB more")
    assert seen < 600 << 20
    assert node.request("GET", "/health").status == 200


@pytest.mark.long
def test_a_node_without_descriptors_comes_back(node: RunningNode) -> None:
    """Who is connected is served meanwhile, and afterwards everything works as before."""
    key = node.create_key("mara", "api")
    node.must_publish(package("one"), key)
    kept = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)

    def still_served() -> bool:
        kept.request("GET", "/tarballs/one-1.0.0.tar")
        return kept.getresponse().read() == package("one")

    assert still_served()
    used = len(list(Path(f"/proc/{node.process.pid}/fd").iterdir()))
    resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE, (used + 10, used + 10))
    with ExitStack() as stack:
        for _ in range(60):
            client = socket.create_connection(("127.0.0.1", node.port), timeout=5)
            stack.callback(client.close)
        within(10, lambda: len(list(Path(f"/proc/{node.process.pid}/fd").iterdir())) >= used + 9)
        before = cpu_seconds(node)
        time.sleep(2)
        assert cpu_seconds(node) - before < 1, "it spins on what it cannot accept"
        assert still_served()
        assert node.process.poll() is None

    def answers() -> bool:
        try:
            return node.request("GET", "/health").status == 200
        except OSError:
            return False

    within(20, answers)
    node.must_publish(package("two"), key)
    kept.close()


@pytest.mark.long
def test_a_node_that_is_killed_while_it_makes_its_tables_anew_has_all_of_them(
    node: RunningNode,
) -> None:
    key = node.create_key("mara", "api")
    for number in range(30):
        node.must_publish(package(f"kept_{number}"), key)
    for round_ in range(10):
        command = [sys.executable, "-m", "hexhub", "compact"]
        compacting = subprocess.Popen(
            command,
            cwd=ROOT,
            env=node.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        newest = Path(node.environment["DATA_DIR"]) / "cluster/snapshots/META"
        before = newest.stat().st_mtime_ns if newest.exists() else 0
        within(20, lambda: newest.exists() and newest.stat().st_mtime_ns != before)  # noqa: B023
        time.sleep(round_ * 0.003)
        node.kill()
        compacting.wait(20)
        node.restart()
        for number in range(30):
            assert node.request("GET", f"/packages/kept_{number}").status == 200
        node.must_publish(package(f"round_{round_}"), key)
    assert "bytes on disk before" in node.command("compact")


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
