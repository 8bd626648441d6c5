"""Which nodes run from this checkout: each announces itself in a file that it keeps locked.

`data/run/<NODE_NAME>.json` holds what others need to find the node (a further node of the same name,
with a data directory of its own, has `<NODE_NAME>~2.json`). The node holds a lock on the
file for as long as its process lives and the kernel lets go of it at any kind of death, so a file
left behind is never taken for a node and its process id never for that of a stranger.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

_MOST_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Running:
    """A node that runs from this checkout, as it announced itself.

    `host` and `port` are where it listens, `url` is its public base, and `cluster_host` and
    `cluster_port` are where other members reach it; 0: nowhere.
    """

    name: str
    pid: int
    host: str
    port: int
    url: str
    data_dir: str
    cluster_host: str = ""
    cluster_port: int = 0


class Announcement:
    """A node's own file; the locks end with the process, whatever ends it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def withdraw(self) -> None:
        """Remove the file; its lock stays, so that whoever waits for the end sees the real one."""
        self._path.unlink(missing_ok=True)


def _directory(checkout: Path) -> Path:
    return checkout / "data" / "run"


def announce(checkout: Path, node: Running) -> Announcement | None:
    """Say that `node`, this process, runs.

    None where the checkout cannot be written, as in a read-only image: a node there is found by
    its DATA_DIR.
    """
    try:
        _directory(checkout).mkdir(parents=True, exist_ok=True)
        stem = _claim(_directory(checkout), node.name)
        # Renamed into place locked and whole: what an earlier node left is never read as ours.
        new = stem.with_name(stem.name + ".new")
        descriptor = _open(new)
        _try_lock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, json.dumps(asdict(node)).encode())
        return Announcement(new.rename(stem.with_name(stem.name + ".json")))
    except OSError:
        return None


def _claim(directory: Path, name: str) -> Path:
    """The first of `name`, `name~2`, … that no living node has; it stays ours until we end."""
    number = 1
    while True:
        stem = directory / (name if number == 1 else f"{name}~{number}")
        descriptor = _open(stem.with_name(stem.name + ".lock"))
        if _try_lock(descriptor, fcntl.LOCK_EX):
            return stem
        os.close(descriptor)
        number += 1


def _open(path: Path) -> int:
    """A descriptor that stays open until the process ends, and with it the locks on it."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Watch:
    """A node that was seen to run, by whose file its end is seen. Close it after use."""

    def __init__(self, running: Running, descriptor: int) -> None:
        self.running = running
        self._descriptor = descriptor

    def ended(self) -> bool:
        """Whether the node's process has ended."""
        return _is_free(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def nodes(checkout: Path) -> list[Running]:
    """The nodes that run from `checkout` now, by name."""
    found = []
    for path in _files(checkout):
        seen = _look(path)
        if seen is not None:
            with seen:
                found.append(seen.running)
    return found


def watch(checkout: Path, node: Running) -> Watch | None:
    """Watch one of `nodes`; None when it has ended meanwhile."""
    for path in _files(checkout):
        seen = _look(path)
        if seen is not None:
            if seen.running == node:
                return seen
            seen.close()
    return None


def _files(checkout: Path) -> list[Path]:
    return sorted(_directory(checkout).glob("*.json"))


def _look(path: Path) -> Watch | None:
    """The node that announces itself in the file at `path`, if it lives."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    running = None if _is_free(descriptor) else _read(descriptor)
    if running is None:
        os.close(descriptor)
        return None
    return Watch(running, descriptor)


def _is_free(descriptor: int) -> bool:
    """Whether no process announces itself in the file."""
    if not _try_lock(descriptor, fcntl.LOCK_SH):
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def _read(descriptor: int) -> Running | None:
    """What the file says; None for what another version may have written."""
    try:
        return Running(**json.loads(os.pread(descriptor, _MOST_BYTES, 0)))
    except (ValueError, TypeError):
        return None
