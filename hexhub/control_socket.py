"""The operator's socket: where it is, how a path too long for one is reached, asking over it."""

from __future__ import annotations

import errno
import http.client
import json
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAME = "admin.sock"
PATH_LENGTH_MAX = 100
"""The kernel takes 107 bytes; a longer path goes through a short link to its folder."""


@contextmanager
def short_path(data_dir: Path, *, fresh: bool = False) -> Iterator[str]:
    """A path to the socket that fits, good inside the block. `fresh` removes an old socket."""
    path = data_dir.absolute() / NAME
    if fresh:
        remove(data_dir)
    if len(os.fsencode(path)) <= PATH_LENGTH_MAX:
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="hexhub-") as folder:
        link = Path(folder) / "d"
        link.symlink_to(path.parent)
        yield str(link / NAME)


def remove(data_dir: Path) -> None:
    """Take the socket away; on a disk that takes no writes it stays, and nobody answers there."""
    try:
        (data_dir / NAME).unlink(missing_ok=True)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise


def ask(
    data_dir: Path,
    method: str,
    path: str,
    body: Mapping[str, object] | None = None,
    *,
    timeout_s: float = 30.0,
) -> tuple[int, Any]:
    """Ask the node of this directory: the status, and what its JSON says. OSError when none answers."""
    payload = json.dumps(body).encode() if body is not None else None
    status, data = exchange(
        data_dir, method, path, payload, content_type="application/json", timeout_s=timeout_s
    )
    return status, _said(data)


def _said(data: bytes) -> Any:
    """What an answer says; of one that is no JSON, its text as the message."""
    try:
        return json.loads(data) if data else None
    except ValueError:
        return {"message": data.decode("utf-8", "replace").strip()}


def exchange(
    data_dir: Path,
    method: str,
    path: str,
    payload: bytes | None = None,
    *,
    content_type: str = "application/octet-stream",
    timeout_s: float = 30.0,
) -> tuple[int, bytes]:
    """Ask the node of this directory with bytes for bytes. OSError when none answers."""
    with short_path(data_dir) as socket_path:
        connection = _Connection(socket_path, timeout_s)
        try:
            headers = {"Content-Type": content_type} if payload is not None else {}
            connection.request(method, path, payload, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"no answer: {error!r}") from error
        finally:
            connection.close()


@contextmanager
def streamed(
    data_dir: Path, path: str, body: Mapping[str, object], *, timeout_s: float = 600.0
) -> Iterator[tuple[int, Iterator[bytes]]]:
    """POST, and read the answer piece by piece. OSError when none answers or it breaks off."""
    with short_path(data_dir) as socket_path:
        connection = _Connection(socket_path, timeout_s)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(body).encode(), headers)
            response = connection.getresponse()
            yield response.status, iter(lambda: response.read(1 << 20), b"")
        except http.client.HTTPException as error:
            raise ConnectionError(f"the answer broke off: {error!r}") from error
        finally:
            connection.close()


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
