"""Copies of the rows at a known entry: what the journal is cut behind, and what a backup is.

Takes the place of PySyncObj's Serializer. `META` is the commit record: a copy counts once META
names it, with its size and digest. A member that is behind the journal of the leader is sent the
copy in pieces, as fast as the connection takes them; taking it over happens beside the ticks
until the last step.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from cluster.disk import Generation, State
from cluster.errors import Damaged
from cluster.files import replace_file, sync_directory
from cluster.journal import Entry, Journal

log = logging.getLogger(__name__)

IDLE, RUNNING, DONE, FAILED = range(4)
"""PySyncObj's SERIALIZER_STATE."""

META = "META"
PIECE_BYTES: Final = 256 << 10
BACKLOG_BYTES_MAX: Final = 4 << 20
WINDOW: Final = 64
"""Pieces on their way to a disk that may be slow; nothing else waits for it."""
PIECES_A_TICK: Final = 8
"""So that a tick stays short beside a snapshot."""


class Meta(msgspec.Struct, frozen=True):
    """A snapshot: its file, and the last two entries applied in it."""

    file: str
    size: int
    digest: bytes
    last: Entry
    before: Entry
    members: tuple[str, ...]
    cluster: str
    addresses: dict[str, tuple[str, int]] = {}

    @property
    def index(self) -> int:
        return self.last[1]

    @property
    def term(self) -> int:
        return self.last[2]


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """A part of a transfer; the first holds the Meta."""

    transfer: bytes
    number: int
    content: bytes


@dataclass(slots=True)
class _Sending:
    """A transfer to one member."""

    id: bytes
    meta: Meta
    file: IO[bytes]
    digest: Any
    number: int = 0
    taken: int = 0
    sent_in_tick: int = 0

    @property
    def must_wait(self) -> bool:
        """Whether the receiver has not written enough of it yet."""
        return self.number - self.taken > WINDOW


@dataclass(slots=True)
class _Receiving:
    """A transfer from the leader, up to here. A job beside the ticks writes what is pending."""

    id: bytes
    meta: Meta
    path: Path
    file: IO[bytes]
    digest: Any
    number: int = 0
    size: int = 0
    pending: list[bytes] = field(default_factory=list)
    written: int = 0
    told: int = 0
    busy: bool = False
    whole: bool = False
    given_up: bool = False


@dataclass(frozen=True, slots=True)
class Arrived:
    """A snapshot received whole, its rows ready to be switched to."""

    meta: Meta
    rows: Generation


class Snapshots:
    """The snapshots of one member. Only the newest is kept."""

    def __init__(
        self,
        path: Path,
        state: State,
        journal: Journal,
        *,
        room: Callable[[int], bool],
        beside: Callable[[Callable[[], None]], threading.Thread | None] | None = None,
    ) -> None:
        """`room` says whether that many bytes may be written to the disk now; `beside` runs what
        takes long, in a thread unless told otherwise.
        """
        self.path = path
        self._state = state
        self._journal = journal
        self._cluster = journal.identity.cluster
        self._room = room
        self._beside = beside or _in_thread
        self._phase = IDLE
        self._failed = False
        self._cut_to: int | None = None
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._sending: dict[Any, _Sending] = {}
        self._receiving: _Receiving | None = None
        self._last: _Receiving | None = None
        self._installing = False
        self._arrived: Arrived | None = None
        self.lent = 0
        """How many newcomers copy the newest outside of the log; the journal behind it is kept."""
        self.backlog: Callable[[str], int] = lambda member: 0
        self.park: Callable[[Any], None] = lambda node: None
        self.addresses: Callable[[], dict[str, tuple[str, int]]] = dict
        path.mkdir(parents=True, exist_ok=True)
        self.meta = load(path)
        if self.meta is not None and not _complete(path, self.meta):
            log.warning("the snapshot %s is damaged; a new one will be taken", self.meta.file)
            self.meta = None
        self._remove_others()

    def members_at(self, index: int) -> frozenset[str]:
        """Who the members are after entry `index`."""
        return self._journal.members_at(index)

    # Taking one

    def checkSerializing(self) -> tuple[int, int | None]:
        """What PySyncObj asks each tick: done once, and then it cuts the journal."""
        phase = self._phase
        if phase in (DONE, FAILED):
            self._phase, self._failed = IDLE, phase == FAILED
        return phase, self._cut_to

    def serialize(self, data: tuple[object, Entry, Entry, set[object]], id_: int) -> None:
        """Begin a copy, on the tick thread: the rows are at entry `data[1]` right now."""
        _, last, before, _ = data
        self._phase, self._cut_to = RUNNING, id_
        size = self._state.size()
        if not self._room(size):
            log.warning("no snapshot at %d: no room for %d bytes", last[1], size)
            self._phase = FAILED
            return
        copy = self._state.begin_copy()
        members = tuple(sorted(self.members_at(last[1])))
        addresses = self.addresses()

        def work() -> None:
            try:
                self._take(copy, last, before, members, addresses)
                self._phase = DONE
            except Exception:
                log.exception("no snapshot at %d", last[1])
                self._remove_others()
                self._phase = FAILED

        self._run(work)

    @property
    def idle(self) -> bool:
        return self._phase == IDLE

    def failed(self) -> bool:
        """Whether the last one failed; says so once."""
        failed, self._failed = self._failed, False
        return failed

    def join(self) -> None:
        """Wait for what is under way, and let go of transfers."""
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        for member in list(self._sending):
            self.cancelTransmisstion(member)
        self._give_up()  # nothing is written any more
        if self._last is not None:
            self._last.file.close()
        if self._arrived is not None:
            self._arrived.rows.discard()
            self._arrived = None

    # Sending the newest to a member that is behind the journal

    @property
    def moving(self) -> bool:
        """Whether one of another member is on its way here."""
        return self._installing or self._receiving is not None

    def has_room(self, size: int) -> bool:
        """Whether so many bytes can be written above the reserve."""
        return self._room(size)

    def beside(self, work: Callable[[], None]) -> None:
        """Run work beside the ticks; waited for at the end."""
        self._run(work)

    @property
    def sending(self) -> bool:
        return bool(self._sending)

    def refill(self) -> bool:
        """Let the next tick send again; whether somebody could have taken more in this one."""
        more = False
        for one in self._sending.values():
            more = more or (one.sent_in_tick >= PIECES_A_TICK and not one.must_wait)
            one.sent_in_tick = 0
        return more

    def taken(self, node: Any, transfer: bytes, number: int) -> None:
        """A receiver has written a transfer up to this piece."""
        sending = self._sending.get(node)
        if sending is not None and sending.id == transfer:
            sending.taken = max(number, sending.taken)

    def getTransmissionData(self, node: Any) -> tuple[bytes, bool, bool] | None:
        """The next piece for a member, whether it is the first and the last; None: not now."""
        found = self._next_piece(node)
        if found is None:
            self.park(node)
        return found

    def _next_piece(self, node: Any) -> tuple[bytes, bool, bool] | None:
        if self.backlog(str(node.id)) > BACKLOG_BYTES_MAX:
            return None
        sending = self._sending.get(node)
        if sending is None:
            if self.meta is None:
                return None
            file = (self.path / self.meta.file).open("rb")
            id_, digest = secrets.token_bytes(8), new_digest()
            sending = self._sending[node] = _Sending(id_, self.meta, file, digest)
            log.info("%s is sent the snapshot at %d", node.id, self.meta.index)
            return _piece(sending, msgspec.msgpack.encode(self.meta)), True, False
        if sending.sent_in_tick >= PIECES_A_TICK or sending.must_wait:
            return None
        sending.sent_in_tick += 1
        content = sending.file.read(PIECE_BYTES)
        sending.digest.update(content)
        last = not content or sending.file.tell() >= sending.meta.size
        if last:
            self.cancelTransmisstion(node)
            if sending.digest.digest() != sending.meta.digest:
                self.distrust(sending.meta)
                return None
        return _piece(sending, content), False, last

    def distrust(self, meta: Meta) -> None:
        """Forget a snapshot whose file is not what was written: a new one is taken of the rows."""
        with self._lock:
            if self.meta is None or self.meta.file != meta.file:
                return
            self.meta = None
        log.error("the snapshot %s is damaged, look at the disk; a new one is taken", meta.file)

    def cancelTransmisstion(self, node: Any) -> None:
        """Give up a transfer. (PySyncObj's spelling.)"""
        if (sending := self._sending.pop(node, None)) is not None:
            sending.file.close()

    # Receiving one

    @property
    def installing(self) -> bool:
        """Whether a snapshot is here and about to be taken over."""
        return self._installing

    def setTransmissionData(self, data: tuple[bytes, bool, bool]) -> bool:
        """Take a piece. Always False: what has arrived is taken over later, by `arrived`."""
        content, first, last = data
        if self._installing:
            return False
        try:
            piece = _decode_piece(content)
            if first:
                self._begin_receiving(piece)
                return False
        except (msgspec.MsgspecError, Damaged, OSError) as error:
            log.warning("a snapshot cannot be received: %s", error)
            return False
        receiving = self._receiving
        if receiving is None or (piece.transfer, piece.number) != (
            receiving.id,
            receiving.number + 1,
        ):
            return False  # of another transfer, or one is missing: the sender begins again
        receiving.number += 1
        with self._lock:
            receiving.pending.append(piece.content)
            receiving.whole = last
            starts, receiving.busy = not receiving.busy, True
        if last:
            self._receiving = None
            self._installing = True
        if starts:
            self._run(lambda: self._write(receiving))
        return False

    def progress(self) -> tuple[bytes, int] | None:
        """The transfer and up to which piece it is written, when there is news of it."""
        receiving = self._receiving
        if receiving is None or receiving.written == receiving.told:
            return None
        receiving.told = receiving.written
        return receiving.id, receiving.told

    def arrived(self) -> Arrived | None:
        """A snapshot that can be taken over now; `take_over` or `refuse` it."""
        found, self._arrived = self._arrived, None
        return found

    def refuse(self, arrived: Arrived) -> None:
        """Let go of one that is older than what is here."""
        log.info("the snapshot at %d is older than what is here", arrived.meta.index)
        arrived.rows.discard()
        self._remove_others()
        self._installing = False

    def take_over(self, arrived: Arrived) -> None:
        """Make it count: META first, then the rows; a start in between ends what was begun."""
        self._count(arrived.meta)
        self._state.switch(arrived.rows)
        self._journal.rebase(arrived.meta.index, arrived.meta.members)

    def deserialize(self) -> tuple[None, Entry, Entry, list[str]]:
        """What PySyncObj begins its log behind, after `take_over`: last, before, the others."""
        meta = self.meta
        assert meta is not None
        self._installing = False
        others = [one for one in meta.members if one != self._journal.identity.member]
        return None, meta.last, meta.before, others

    def _give_up(self) -> None:
        """Let go of a transfer that will not be ended."""
        receiving, self._receiving = self._receiving, None
        if receiving is None:
            return
        with self._lock:
            receiving.given_up = True
            if receiving.busy:
                return  # whoever writes it clears it away
        _discard(receiving)

    def _write(self, receiving: _Receiving) -> None:
        """Write what has come, until nothing is left; beside the ticks, one at a time."""
        try:
            while True:
                with self._lock:
                    pieces, receiving.pending = receiving.pending, []
                    if not pieces or receiving.given_up:
                        receiving.busy, whole = False, receiving.whole
                        break
                for content in pieces:
                    receiving.file.write(content)
                    receiving.digest.update(content)
                    receiving.size += len(content)
                    receiving.written += 1
        except OSError as error:
            log.warning("a snapshot cannot be received: %s", error)
            receiving.given_up = whole = True
        if receiving.given_up:
            _discard(receiving)
            if receiving.whole:
                self._installing = False
        elif whole:
            receiving.file.close()
            self._prepare(receiving)

    def _begin_receiving(self, piece: Piece) -> None:
        self._give_up()
        meta = msgspec.msgpack.decode(piece.content, type=Meta)
        if meta.cluster != self._cluster:
            raise Damaged("it was taken in another cluster")
        if not self._room(2 * meta.size):
            raise Damaged(f"no room for twice its {meta.size} bytes")
        name = f"snap-{meta.index}-{secrets.token_hex(4)}.mdb"
        meta = msgspec.structs.replace(meta, file=name)  # never over one that META may name
        path = self.path / name
        receiving = _Receiving(piece.transfer, meta, path, path.open("wb"), new_digest())
        self._receiving = self._last = receiving
        log.info("receiving the snapshot at %d, %d bytes", meta.index, meta.size)

    def _prepare(self, receiving: _Receiving) -> None:
        meta = receiving.meta
        try:
            with receiving.path.open("rb+") as file:
                os.fsync(file.fileno())
            found = (receiving.digest.digest(), receiving.size)
            if found != (meta.digest, meta.size):
                raise Damaged("it is not what was sent")
            rows = self._state.prepare(receiving.path)
            if rows.applied != (meta.index, meta.term):
                rows.discard()
                raise Damaged(f"its rows are at {rows.applied}")
            self._arrived = Arrived(meta, rows)
        except Exception:
            log.exception("the snapshot at %d is not taken over", meta.index)
            receiving.path.unlink(missing_ok=True)
            self._installing = False

    def _take(
        self,
        copy: Callable[[int], None],
        last: Entry,
        before: Entry,
        members: tuple[str, ...],
        addresses: dict[str, tuple[str, int]],
    ) -> None:
        name = f"snap-{last[1]}-{secrets.token_hex(4)}.mdb"
        target = self.path / name
        with target.open("w+b") as file:
            copy(file.fileno())
            os.fsync(file.fileno())
        digest, size = _digest(target)
        sync_directory(self.path)
        self._state.sync()  # durable up to here, before anyone cuts the journal
        self._count(Meta(name, size, digest, last, before, members, self._cluster, addresses))

    def _count(self, meta: Meta) -> None:
        with self._lock:
            if self.meta is not None and meta.index <= self.meta.index:
                (self.path / meta.file).unlink()  # a newer one was received meanwhile (M3)
                return
            replace_file(self.path / META, msgspec.msgpack.encode(meta))
            self.meta = meta
        self._remove_others()

    def _remove_others(self) -> None:
        keep = {META} if self.meta is None else {META, self.meta.file}
        if self._receiving is not None:
            keep.add(self._receiving.path.name)
        if self._installing:
            return
        for file in self.path.iterdir():
            if file.name not in keep:
                file.unlink(missing_ok=True)

    def _run(self, work: Callable[[], None]) -> None:
        self._threads = [one for one in self._threads if one.is_alive()]
        if (thread := self._beside(work)) is not None:
            self._threads.append(thread)


def _discard(receiving: _Receiving) -> None:
    receiving.file.close()
    receiving.path.unlink(missing_ok=True)


_decode_piece = msgspec.msgpack.Decoder(Piece).decode


def _piece(sending: _Sending, content: bytes) -> bytes:
    piece = msgspec.msgpack.encode(Piece(sending.id, sending.number, content))
    sending.number += 1
    return piece


def _in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, name="snapshot")
    thread.start()
    return thread


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


def new_digest() -> hashlib.blake2b:
    """What the bytes of a snapshot are summed up with."""
    return hashlib.blake2b(digest_size=32)


def _digest(file: Path) -> tuple[bytes, int]:
    digest, size = new_digest(), 0
    with file.open("rb") as opened:
        while chunk := opened.read(1 << 20):
            digest.update(chunk)
            size += len(chunk)
    return digest.digest(), size
