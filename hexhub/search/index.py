"""The full-text index of documentation: one SQLite file with FTS5, used by one thread at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hexhub.search.sources import Item

FORMAT = 1
BATCH = 500
MATCH_WORDS_MAX = 8
TIME_STEPS_MAX = 400
"""Progress reports (each ten thousand steps of SQLite) before a question is given up."""

TABLES = """
create table if not exists sources (
  id integer primary key, repository text not null, package text not null,
  version text not null, checksum text not null, unique (repository, package)
);
create virtual table if not exists items using fts5 (
  title, body, kind unindexed, ref unindexed, source unindexed,
  tokenize = "unicode61 remove_diacritics 2 tokenchars '_'", prefix = '2 3'
);
create table if not exists places (source integer primary key, first integer, last integer);
"""


@dataclass(frozen=True, slots=True)
class Hit:
    """Something found. `excerpt` is plain text in pieces; every second piece is a match."""

    repository: str
    package: str
    version: str
    kind: str
    ref: str
    title: str
    excerpt: tuple[str, ...]


class Index:
    """The file. Every call blocks: run it on a thread."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, check_same_thread=False)
        try:
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = off")
            (format_,) = connection.execute("pragma user_version").fetchone()
            if format_ not in (0, FORMAT):
                raise sqlite3.DatabaseError("another format")
            connection.executescript(TABLES)
            connection.execute(f"pragma user_version = {FORMAT}")
        except sqlite3.DatabaseError:
            # Derived data: a file that cannot be read is made again.
            connection.close()
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            return self._open()
        return connection

    def sources(self) -> dict[tuple[str, str], str]:
        """What is indexed: (repository, package) to the checksum of its archive in hex."""
        rows = self._connection.execute("select repository, package, checksum from sources")
        return {(repository, package): checksum for repository, package, checksum in rows}

    def size(self) -> int:
        """How many entries there are."""
        (found,) = self._connection.execute(
            "select coalesce(sum(last - first + 1), 0) from places"
        ).fetchone()
        return int(found)

    def put(
        self, repository: str, package: str, version: str, checksum: str, items: Iterable[Item]
    ) -> None:
        """Index a package's documentation in place of what was there."""
        with self._connection:
            self._remove(repository, package)
            cursor = self._connection.execute(
                "insert into sources (repository, package, version, checksum) values (?, ?, ?, ?)",
                (repository, package, version, checksum),
            )
            source = cursor.lastrowid
            (before,) = self._connection.execute("select max(rowid) from items").fetchone()
            rows = [(each.title, each.text, each.kind, each.ref, source) for each in items]
            self._connection.executemany(
                "insert into items (title, body, kind, ref, source) values (?, ?, ?, ?, ?)", rows
            )
            first = (before or 0) + 1
            self._connection.execute(
                "insert into places values (?, ?, ?)", (source, first, first + len(rows) - 1)
            )

    def remove(self, repository: str, package: str) -> None:
        """Forget a package's documentation."""
        with self._connection:
            self._remove(repository, package)

    def _remove(self, repository: str, package: str) -> None:
        row = self._connection.execute(
            "select id, first, last from sources join places on source = id "
            "where repository = ? and package = ?",
            (repository, package),
        ).fetchone()
        if row is not None:
            source, first, last = row
            self._connection.execute("delete from items where rowid between ? and ?", (first, last))
            self._connection.execute("delete from places where source = ?", (source,))
            self._connection.execute("delete from sources where id = ?", (source,))

    def find(
        self, text: str, repositories: Sequence[str], package: str | None, limit: int, offset: int
    ) -> list[Hit]:
        """The best matches in the documentation of these repositories."""
        match = _match(text)
        if not match or not repositories:
            return []
        marks = ", ".join("?" * len(repositories))
        only = "and package = ?" if package else ""
        steps = 0

        def tick() -> int:
            nonlocal steps
            steps += 1
            return int(steps > TIME_STEPS_MAX)

        self._connection.set_progress_handler(tick, 10_000)
        try:
            rows = self._connection.execute(
                "select repository, package, version, kind, ref, title, "
                "snippet(items, 1, char(1), char(2), '…', 24) from items "
                "join sources on sources.id = items.source "
                f"where items match ? and repository in ({marks}) {only} "
                "order by bm25(items, 12.0, 1.0) limit ? offset ?",
                (match, *repositories, *([package] if package else []), limit, offset),
            ).fetchall()
        except sqlite3.OperationalError:
            return []
        finally:
            self._connection.set_progress_handler(None, 0)
        return [
            Hit(repository, name, version, kind, ref, title, _pieces(snippet))
            for repository, name, version, kind, ref, title, snippet in rows
        ]

    def close(self) -> None:
        self._connection.close()


def _match(text: str) -> str:
    """The words of a question as an FTS5 expression; the last one may be unfinished."""
    clean = "".join(char if char.isalnum() or char == "_" else " " for char in text)
    words = clean.split()[:MATCH_WORDS_MAX]
    return " ".join(f'"{word}"' for word in words) + "*" if words else ""


def _pieces(snippet: str) -> tuple[str, ...]:
    """Text and matches in turn."""
    return tuple(snippet.replace("\2", "\1").split("\1"))
