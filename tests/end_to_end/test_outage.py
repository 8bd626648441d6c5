"""A bucket that is away for a minute while people publish and fetch."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.end_to_end.members import until
from tests.end_to_end.node import RunningNode
from tests.end_to_end.test_restore import bucket as bucket
from tests.hexhub.packages import package
from tests.ports import free_ports

OUTAGE_S = 60.0


class Way:
    """TCP to another port, which can be closed: who is connected is cut off, nobody gets in."""

    def __init__(self, port: int) -> None:
        self._to = port
        (self.port,) = free_ports(1)
        self._lock = threading.Lock()
        self._pairs: set[socket.socket] = set()
        self._listener: socket.socket | None = None

    def open(self) -> None:
        listener = self._listener = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        assert self._listener is not None
        # Closing alone would not wake the thread that accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for each in self._pairs:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            self._pairs.clear()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self._to)) as far:
            with self._lock:
                self._pairs |= {near, far}
            back = threading.Thread(target=self._pump, args=(far, near))
            back.start()
            self._pump(near, far)
            back.join()
            with self._lock:
                self._pairs -= {near, far}

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["s3", "hybrid"])
def test_nothing_is_lost_or_half_published_when_the_bucket_is_away(
    tmp_path: Path, bucket: Mapping[str, str], kind: str
) -> None:
    way = Way(int(bucket["AWS_S3_PORT"]))
    way.open()
    settings = {**bucket, "AWS_S3_PORT": str(way.port), "STORAGE_TYPE": kind}
    node = RunningNode(tmp_path, {**settings, "RATE_LIMITS": "false"})
    stop = threading.Event()
    published: list[str] = []
    refused: list[str] = []
    fetched: Counter[int] = Counter()
    try:
        node.create_user("mara")
        key = node.create_key("mara", "api")
        node.must_publish(package("one"), key)

        def publish(worker: int) -> None:
            number = 0
            while not stop.is_set():
                name = f"p{worker}_{number}"
                answer = node.publish(package(name), key)
                assert answer.status in (201, 503), answer
                if answer.status == 503:
                    assert int(answer.headers["retry-after"]) > 0
                (published if answer.status == 201 else refused).append(name)
                number += 1
                time.sleep(0.1)

        def fetch() -> None:
            while not stop.is_set():
                assert node.request("GET", "/packages/one").status == 200
                answer = node.request("GET", "/tarballs/one-1.0.0.tar")
                fetched[answer.status] += 1
                assert answer.status == 503 or answer.body == package("one")
                time.sleep(0.05)

        with ThreadPoolExecutor(6) as threads:
            work = [threads.submit(publish, number) for number in range(3)]
            work += [threads.submit(fetch) for _ in range(3)]
            try:
                until(lambda: len(published) > 10, "publishing")
                way.close()
                until(lambda: refused, "a refusal")
                until(
                    lambda: (
                        node.request("GET", "/health/ready").json()["status"]
                        == "storage cannot be written"
                    ),
                    "the node says so",
                )
                assert node.request("GET", "/health/read").status == 200
                time.sleep(OUTAGE_S)
                before = len(published)
                way.open()
                until(lambda: len(published) > before + 10, "publishing again")
            finally:
                stop.set()
            for each in work:
                each.result(60)
        for name in published:
            assert node.request("GET", f"/tarballs/{name}-1.0.0.tar").body == package(name), name
        for name in refused:
            assert node.request("GET", f"/api/packages/{name}").status == 404, name
            assert node.request("GET", f"/packages/{name}").status == 404, name
        assert set(fetched) <= {200, 503}
        assert set(fetched) == {200}, "what was fetched just before is still in memory"
        assert node.request("GET", "/health").status == 200
        print(f"{kind}: {len(published)} published, {len(refused)} refused, {fetched}")
    finally:
        assert node.stop() == 0
        way.close()
