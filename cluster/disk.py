"""Every LMDB environment: the rows, the journal, and copies of the rows. The only file that knows LMDB."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import lmdb
import lmdb.verify

from cluster import machine
from cluster.errors import Damaged, DiskFailed, DiskFull, DiskReadOnly
from cluster.files import copy_file, remove_tree, replace_file, sync_directory
from cluster.machine import Space

T = TypeVar("T")

DATA = "data.mdb"
NEW = DATA + ".new"
STATE_SPACES = tuple(space.name.lower() for space in Space)
JOURNAL_SPACES = ("entries", "meta")

Patience = Callable[[], bool]
"""Called when the disk has become read-only, waits, and says whether to try again."""
_FULL = ("No space left", "File too large", "Disk quota exceeded")
_READ_ONLY = "Read-only file system"


class Retired(Exception):
    """Another environment has taken the place of this one."""


class Environment:
    """One LMDB environment whose map grows when it is full.

    The map may only be moved while nobody in this process looks at it, so readers are counted.
    Short ones (a view) are waited for and held off; long ones (a copy) are only waited for.
    """

    def __init__(
        self,
        path: Path,
        spaces: tuple[str, ...],
        *,
        map_size: int,
        metasync: bool = True,
        check: bool = False,
    ) -> None:
        self.path = path
        data = path / DATA
        fresh = not data.exists() or not data.stat().st_size  # killed while LMDB made it
        path.mkdir(parents=True, exist_ok=True)
        if check and not fresh:
            check_structure(data)
        with _readable(data):
            self._env = lmdb.open(
                str(path),
                max_dbs=len(spaces),
                map_size=max(map_size, 2 * data.stat().st_size if not fresh else 0),
                max_readers=512,
                metasync=metasync,
            )
        try:
            if self._pages() > data.stat().st_size:
                check_structure(data)  # shorter than it says: all right only if the end is free
            with _readable(data):
                self.dbs = [self._env.open_db(name.encode()) for name in spaces]
            self._env.reader_check()
        except BaseException:
            self._env.close()
            raise
        if fresh:
            sync_directory(path)
            sync_directory(path.parent)
        self._lock = threading.Lock()
        self._gate = threading.Condition(self._lock)
        self._views = self._copies = 0
        self._growing = self._retired = False
        self.patience: Patience = lambda: False

    def view(self) -> lmdb.Transaction[bytes]:
        """A read transaction that ends soon; give it back with `leave`. Retired after `retire`."""
        with self._lock:
            while self._growing:
                self._gate.wait()
            if self._retired:
                raise Retired
            self._views += 1
        try:
            return self._env.begin()
        except BaseException:
            self._left()
            raise

    def leave(self, txn: lmdb.Transaction[bytes]) -> None:
        txn.abort()
        self._left()

    def _left(self) -> None:
        with self._lock:
            self._views -= 1
            if self._growing or self._retired:
                self._gate.notify_all()

    @contextmanager
    def reading(self) -> Iterator[lmdb.Transaction[bytes]]:
        txn = self.view()
        try:
            yield txn
        finally:
            self.leave(txn)

    def write(self, work: Callable[[lmdb.Transaction[bytes]], T]) -> T:
        """Run `work` in one write transaction; again in a larger map when this one is full."""
        while True:
            txn = self._env.begin(write=True)
            try:
                with _writing():
                    result = work(txn)
                    txn.commit()
                return result
            except lmdb.MapFullError:
                txn.abort()
                self._grow()
            except DiskReadOnly:
                txn.abort()  # nothing of it reached the disk
                if not self.patience():
                    raise
            except BaseException:
                txn.abort()
                raise

    def begin_copy(self) -> lmdb.Transaction[bytes]:
        """Fix the moment that `copy` writes out; call it where no write is under way."""
        if 2 * self._pages() > self._env.info()["map_size"]:
            self._grow()  # now, for growth would wait for the end of the copy
        txn = self._env.begin()
        with self._gate:
            self._copies += 1
        return txn

    def copy(self, txn: lmdb.Transaction[bytes], fd: int) -> None:
        """Write the whole environment as of `txn` to `fd`, compacted, and end `txn`."""
        try:
            with _writing():
                self._env.copyfd(fd, compact=True, txn=txn)
        finally:
            txn.abort()
            with self._gate:
                self._copies -= 1
                self._gate.notify_all()

    def size(self) -> int:
        """The bytes of its pages; a copy is no larger."""
        return self._pages()

    def extent(self) -> tuple[int, int]:
        """The bytes of its pages, and of the map that they lie in."""
        with self.reading():  # the map does not move meanwhile
            return self._pages(), int(self._env.info()["map_size"])

    def sync(self) -> None:
        with _writing():
            self._env.sync(True)

    def close(self) -> None:
        self._env.close()

    def retire(self) -> None:
        """Let nobody begin to look, wait for those who do, and close."""
        with self._gate:
            self._retired = True
            while self._views or self._copies:
                self._gate.wait()
        self._env.close()

    def _pages(self) -> int:
        return (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]

    def _grow(self) -> None:
        with self._gate:
            while self._copies:
                self._gate.wait()
            self._growing = True
            try:
                while self._views:
                    self._gate.wait()
                self._env.set_mapsize(2 * self._env.info()["map_size"])
            finally:
                self._growing = False
                self._gate.notify_all()


class Reading:
    """One moment of the rows, until it is left."""

    __slots__ = ("_env", "_meta", "_rows", "_txn")

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._rows = env.dbs[Space.ROWS]
        self._meta = env.dbs[Space.META]
        self._txn = env.view()

    def get(self, key: bytes) -> bytes | None:
        return self._txn.get(key, db=self._rows)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start <= key < stop, in key order or backwards."""
        with self._txn.cursor(self._rows) as cursor:
            if not reverse:
                if cursor.set_range(start):
                    for item in cursor.iternext():
                        if item[0] >= stop:
                            return
                        yield item
            elif cursor.prev() if cursor.set_range(stop) else cursor.last():
                for item in cursor.iterprev():
                    if item[0] < start:
                        return
                    yield item

    def applied(self) -> int:
        value = self._txn.get(machine.APPLIED, db=self._meta)
        return int.from_bytes(value[:8], "big") if value else 0

    def leave(self) -> None:
        self._env.leave(self._txn)


class _Writing:
    """The rows inside one write transaction, as the machine sees them."""

    def __init__(self, txn: lmdb.Transaction[bytes], env: Environment) -> None:
        self._txn = txn
        self._dbs = env.dbs

    def get(self, space: Space, key: bytes) -> bytes | None:
        return self._txn.get(key, db=self._dbs[space])

    def put(self, space: Space, key: bytes, value: bytes) -> None:
        self._txn.put(key, value, db=self._dbs[space])

    def delete(self, space: Space, key: bytes) -> None:
        self._txn.delete(key, db=self._dbs[space])

    def scan(self, space: Space, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        with self._txn.cursor(self._dbs[space]) as cursor:
            if cursor.set_range(start) if start else cursor.first():
                for item in cursor.iternext():
                    if item[0] >= stop:
                        return
                    yield item


class Generation:
    """Rows that are ready to take the place of others."""

    def __init__(self, env: Environment) -> None:
        self.env = env
        with env.reading() as txn:
            self.applied = machine.applied(_Writing(txn, env))

    def replay(self, entries: Iterable[tuple[int, int, bytes | None]]) -> None:
        """Apply entries (index, term, words) behind those that are in it, in one step."""

        def work(txn: lmdb.Transaction[bytes]) -> tuple[int, int]:
            rows, at = _Writing(txn, self.env), self.applied
            for index, term, words in kept:
                if words is None:
                    machine.mark(index, term, rows)
                else:
                    machine.apply(index, term, words, rows)
                at = (index, term)
            return at

        kept = list(entries)
        self.applied = self.env.write(work)

    def discard(self) -> None:
        self.env.close()
        remove_tree(self.env.path)


class State:
    """The rows and the applied index: `state/<generation>/`, the one that `CURRENT` names.

    The environment is not fully synced (metasync=False): a power cut may take back its last
    transaction, never break it, and the journal has what is missing.
    """

    def __init__(self, path: Path, *, map_size: int, check: bool = False) -> None:
        self._path = path
        self._map_size = map_size
        self._retiring: threading.Thread | None = None
        self._patience: Patience = lambda: False
        path.mkdir(parents=True, exist_ok=True)
        name = _current(path) or self._start(path)
        self._env = self._open(path / name, check)
        for other in path.iterdir():
            if other.is_dir() and other.name != name:
                remove_tree(other)
        self._load()

    def _open(self, path: Path, check: bool) -> Environment:
        env = Environment(path, STATE_SPACES, map_size=self._map_size, metasync=False, check=check)
        env.patience = self._patience
        return env

    def be_patient(self, patience: Patience) -> None:
        """What to do when the disk becomes read-only, instead of raising DiskReadOnly."""
        self._patience = self._env.patience = patience

    def _start(self, path: Path) -> str:
        (path / "1").mkdir(exist_ok=True)
        replace_file(path / "CURRENT", b"1")
        return "1"

    def _load(self) -> None:
        with self._env.reading() as txn:
            self.applied = machine.applied(_Writing(txn, self._env))

    def read(self) -> Reading:
        while True:
            with suppress(Retired):
                return Reading(self._env)

    def apply(self, index: int, term: int, entry: bytes) -> machine.Applied:
        """Apply one entry, its index in the same transaction."""
        done = self._env.write(
            lambda txn: machine.apply(index, term, entry, _Writing(txn, self._env))
        )
        self.applied = (index, term)
        return done

    def mark(self, index: int, term: int) -> None:
        """Note an entry without words as applied."""
        self._env.write(lambda txn: machine.mark(index, term, _Writing(txn, self._env)))
        self.applied = (index, term)

    def read_schema(self) -> tuple[int, bytes]:
        with self._env.reading() as txn:
            return machine.schema_of(_Writing(txn, self._env))

    def begin_copy(self) -> Callable[[int], None]:
        """Fix this moment; the result writes it to a descriptor, from any thread, once."""
        txn = self._env.begin_copy()
        return lambda fd: self._env.copy(txn, fd)

    def size(self) -> int:
        return self._env.size()

    def extent(self) -> tuple[int, int]:
        """The bytes of the pages of the rows, and of the map that they lie in."""
        while True:
            with suppress(Retired):
                return self._env.extent()

    def sync(self) -> None:
        self._env.sync()

    def install(self, copied: Path) -> None:
        """Take a copy of the rows in the place of these, checked page by page."""
        self.switch(self.prepare(copied, check=True))

    @property
    def generation(self) -> str:
        """The name of the rows that count; another one after a switch."""
        return self._env.path.name

    def prepare(self, copied: Path, *, check: bool = False, ahead: int = 1) -> Generation:
        """A copy of the rows beside these, open; from any thread. One at a time for each `ahead`."""
        if (retiring := self._retiring) is not None:
            retiring.join()  # its folder may have this name
        target = self._path / str(int(self._env.path.name) + ahead)
        remove_tree(target)
        target.mkdir()
        copy_file(copied, target / DATA)
        return Generation(self._open(target, check))

    def switch(self, rows: Generation) -> None:
        """Use these rows from here on. `CURRENT` is what makes them count.

        Views that are open end as they began; the old rows go when the last of them is left.
        """
        replace_file(self._path / "CURRENT", rows.env.path.name.encode())
        old, self._env = self._env, rows.env
        self._load()
        self._retiring = threading.Thread(target=_retire, args=(old,), name="retire")
        self._retiring.start()

    def settle(self) -> None:
        """Wait until rows that gave way are gone from the disk."""
        if self._retiring is not None:
            self._retiring.join()

    def close(self) -> None:
        self.settle()
        self._env.sync()
        self._env.close()


class Found(NamedTuple):
    """What rows on disk are: the last applied entry, their schema and shape, bytes of their pages."""

    applied: int
    schema: int
    shape: bytes
    bytes: int


def read_state(path: Path) -> Found:
    """Look at the rows of a stopped member without changing anything. Damaged when there are none."""
    name = _current(path)
    if name is None or not (path / name / DATA).exists():
        raise Damaged(f"there are no rows in {path}")
    env = Environment(path / name, STATE_SPACES, map_size=0)
    try:
        with env.reading() as txn:
            rows = _Writing(txn, env)
            return Found(machine.applied(rows)[0], *machine.schema_of(rows), env.size())
    finally:
        env.close()


class Log:
    """The journal's environment: entries by index, and a few named values. Fully synced."""

    def __init__(self, path: Path, *, map_size: int) -> None:
        self._map_size = map_size
        (path / NEW).unlink(missing_ok=True)  # killed while it was written
        self._env = Environment(path, JOURNAL_SPACES, map_size=map_size, check=True)
        self._entries, self._meta = self._env.dbs

    def be_patient(self, patience: Patience) -> None:
        """As `State.be_patient`."""
        self._env.patience = patience

    def size(self) -> int:
        """The bytes of its pages, free ones too."""
        return self._env.size()

    def compact(self) -> None:
        """Write it anew without free pages, and use that; nobody may be reading it."""
        old, made = self._env, self._env.path / NEW
        try:
            with made.open("wb") as file, _writing():
                old.copy(old.begin_copy(), file.fileno())
                os.fsync(file.fileno())
        except BaseException:
            made.unlink(missing_ok=True)
            raise
        old.close()
        made.rename(old.path / DATA)
        sync_directory(old.path)
        self._env = Environment(old.path, JOURNAL_SPACES, map_size=self._map_size)
        self._env.patience = old.patience
        self._entries, self._meta = self._env.dbs

    def entries(self, start: int = 0, stop: int = 1 << 63) -> Iterator[tuple[int, bytes]]:
        """Stored entries with start <= index < stop."""
        with (
            _readable(self._env.path),
            self._env.reading() as txn,
            txn.cursor(self._entries) as cursor,
        ):
            if cursor.set_range(start.to_bytes(8, "big")):
                for key, value in cursor.iternext():
                    index = int.from_bytes(key, "big")
                    if index >= stop:
                        return
                    yield index, value

    def values(self) -> dict[bytes, bytes]:
        with self._env.reading() as txn, txn.cursor(self._meta) as cursor:
            return dict(cursor.iternext())

    def write(
        self,
        cut: tuple[int, int] | None,
        drop: tuple[int, int] | None,
        entries: Iterable[tuple[int, bytes]],
        values: dict[bytes, bytes],
    ) -> None:
        """Delete two ranges of indexes (first, stop), add entries, set values: all or nothing."""

        def work(txn: lmdb.Transaction[bytes]) -> None:
            for span in (cut, drop):
                for index in range(*span) if span else ():
                    txn.delete(index.to_bytes(8, "big"), db=self._entries)
            for index, value in entries:
                txn.put(index.to_bytes(8, "big"), value, db=self._entries)
            for key, value in values.items():
                txn.put(key, value, db=self._meta)

        self._env.write(work)

    def close(self) -> None:
        self._env.close()


def _retire(env: Environment) -> None:
    env.retire()
    remove_tree(env.path)


def check_structure(data: Path) -> None:
    """Damaged unless every page of this closed file is in its place; it is not trusted, only read."""
    try:
        found = lmdb.verify.verify(str(data), subdir=False)  # type: ignore[no-untyped-call]
    except (lmdb.verify.VerifyError, OSError) as error:
        found = [str(error)]
    if found:
        raise Damaged(f"{data} is not what was written: {found[0]}")


def _current(path: Path) -> str | None:
    try:
        name = (path / "CURRENT").read_text("ascii").strip()
    except FileNotFoundError:
        return None
    if not name.isdigit():
        raise Damaged(f"{path / 'CURRENT'} names no generation")
    return name


@contextmanager
def _readable(data: Path) -> Iterator[None]:
    try:
        yield
    except lmdb.Error as error:
        if any(word in str(error) for word in _FULL):
            raise DiskFull(f"no room left to write: {error}") from error
        raise Damaged(f"{data} is not what was written: {error}") from error


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except lmdb.MapFullError:
        raise
    except (lmdb.Error, OSError) as error:
        if any(word in str(error) for word in _FULL):
            raise DiskFull(f"no room left to write: {error}") from error
        if _READ_ONLY in str(error):
            raise DiskReadOnly(f"the disk is read-only: {error}") from error
        raise DiskFailed(f"the disk refused a write: {error}") from error
