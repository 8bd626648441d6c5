"""Copies of the rows at a known entry: what the journal is cut behind, and what a backup is.

Takes the place of PySyncObj's Serializer. `META` is the commit record: a copy counts once META
names it, with its size and digest.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from cluster.disk import State
from cluster.errors import Damaged
from cluster.files import replace_file, sync_directory
from cluster.journal import Entry

log = logging.getLogger(__name__)

IDLE, RUNNING, DONE, FAILED = range(4)
"""PySyncObj's SERIALIZER_STATE."""

META = "META"


class Meta(msgspec.Struct, frozen=True):
    """A snapshot: its file, and the last two entries applied in it."""

    file: str
    size: int
    digest: bytes
    last: Entry
    before: Entry
    members: tuple[str, ...]
    cluster: str

    @property
    def index(self) -> int:
        return self.last[1]

    @property
    def term(self) -> int:
        return self.last[2]


class Snapshots:
    """The snapshots of one member. Only the newest is kept."""

    def __init__(
        self, path: Path, state: State, cluster: str, *, room: Callable[[int], bool]
    ) -> None:
        """`room` says whether that many bytes may be written to the disk now."""
        self.path = path
        self._state = state
        self._cluster = cluster
        self._room = room
        self._phase = IDLE
        self._failed = False
        self._cut_to: int | None = None
        self._thread: threading.Thread | None = None
        path.mkdir(parents=True, exist_ok=True)
        self.meta = load(path)
        if self.meta is not None and not _complete(path, self.meta):
            log.warning("the snapshot %s is damaged; a new one will be taken", self.meta.file)
            self.meta = None
        self._remove_others()

    def checkSerializing(self) -> tuple[int, int | None]:
        """What PySyncObj asks each tick: done once, and then it cuts the journal."""
        phase = self._phase
        if phase in (DONE, FAILED):
            self._phase, self._failed = IDLE, phase == FAILED
        return phase, self._cut_to

    def serialize(self, data: tuple[object, Entry, Entry, set[object]], id_: int) -> None:
        """Begin a copy, on the tick thread: the rows are at entry `data[1]` right now."""
        _, last, before, members = data
        self._phase, self._cut_to = RUNNING, id_
        size = self._state.size()
        if not self._room(size):
            log.warning("no snapshot at %d: no room for %d bytes", last[1], size)
            self._phase = FAILED
            return
        copy = self._state.begin_copy()
        names = tuple(sorted(str(member) for member in members))

        def work() -> None:
            try:
                self._take(copy, last, before, names)
                self._phase = DONE
            except Exception:
                log.exception("no snapshot at %d", last[1])
                self._remove_others()
                self._phase = FAILED

        self._thread = threading.Thread(target=work, name="snapshot")
        self._thread.start()

    @property
    def idle(self) -> bool:
        return self._phase == IDLE

    def failed(self) -> bool:
        """Whether the last one failed; says so once."""
        failed, self._failed = self._failed, False
        return failed

    def join(self) -> None:
        """Wait for a copy that is under way."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _take(
        self,
        copy: Callable[[int], None],
        last: Entry,
        before: Entry,
        members: tuple[str, ...],
    ) -> None:
        name = f"snap-{last[1]}-{secrets.token_hex(4)}.mdb"
        target = self.path / name
        with target.open("w+b") as file:
            copy(file.fileno())
            os.fsync(file.fileno())
        digest, size = _digest(target)
        sync_directory(self.path)
        self._state.sync()  # durable up to here, before anyone cuts the journal
        meta = Meta(name, size, digest, last, before, members, self._cluster)
        replace_file(self.path / META, msgspec.msgpack.encode(meta))
        self.meta = meta
        self._remove_others()

    def _remove_others(self) -> None:
        keep = {META} if self.meta is None else {META, self.meta.file}
        for file in self.path.iterdir():
            if file.name not in keep:
                file.unlink()


def load(path: Path) -> Meta | None:
    """The snapshot that counts in this folder, if there is one."""
    try:
        return msgspec.msgpack.decode((path / META).read_bytes(), type=Meta)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise Damaged(f"{path / META} cannot be read: {error}") from None


def verified(path: Path, meta: Meta) -> Path:
    """The file of a snapshot, every byte of it as it was written; Damaged when not."""
    file = path / meta.file
    try:
        found = _digest(file)
    except FileNotFoundError:
        raise Damaged(f"the snapshot {file} is missing") from None
    if found != (meta.digest, meta.size):
        raise Damaged(f"the snapshot {file} is not what was written")
    return file


def _complete(path: Path, meta: Meta) -> bool:
    file = path / meta.file
    return file.exists() and file.stat().st_size == meta.size


def _digest(file: Path) -> tuple[bytes, int]:
    digest, size = hashlib.blake2b(digest_size=32), 0
    with file.open("rb") as opened:
        while chunk := opened.read(1 << 20):
            digest.update(chunk)
            size += len(chunk)
    return digest.digest(), size
