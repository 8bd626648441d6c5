"""A load balancer in front of several nodes, with the very file that `hexhub gen-config` prints."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.end_to_end.node import Answer, RunningNode, request
from tests.ports import free_ports
from tests.programs import require as require


class Balancer:
    """Answers as a node does."""

    def __init__(self, port: int) -> None:
        self.port = port

    def request(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        return request(self.port, method, path, key=key, body=body, headers=headers)


@contextmanager
def in_front_of(program: str, nodes: Sequence[RunningNode], folder: Path) -> Iterator[Balancer]:
    """A running `nginx` or `haproxy` on the loopback."""
    require(program)
    folder.mkdir()
    (port,) = free_ports(1)
    given = [word for node in nodes for word in ("--node", f"127.0.0.1:{node.port}")]
    generated = nodes[0].command("gen-config", program, *given)
    command = (_nginx if program == "nginx" else _haproxy)(generated, port, folder)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _wait_until_it_listens(port, process)
        yield Balancer(port)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _nginx(generated: str, port: int, folder: Path) -> list[str]:
    site = generated.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    site = re.sub(r"^\s*ssl_certificate.*$", "", site, flags=re.MULTILINE)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"pid {folder}/pid; error_log {folder}/error.log; daemon off; worker_processes 1;\n"
        f"events {{}}\nhttp {{ access_log off; {temporary}\n{site}\n}}\n"
    )
    return ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def _haproxy(generated: str, port: int, folder: Path) -> list[str]:
    text = generated.replace("bind :4000", f"bind 127.0.0.1:{port}") + "\n"
    (folder / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            assert process.poll() is None, "it ended"
            assert time.monotonic() < deadline, "it does not listen"
            time.sleep(0.05)
