"""The tables the store's tests use."""

from __future__ import annotations

from cluster import Record, Schema, Transaction

schema = Schema(number=1)


@schema.table("notes", key=("shelf", "title"), indexes={"author": ("author", "title")})
class Note(Record, kw_only=True):
    shelf: str
    title: str
    author: str | None = None
    text: str = ""


@schema.table("books", key=("name",), indexes={"tag": ("tags", "year"), "lower": ("folded",)})
class Book(Record, kw_only=True):
    name: str
    tags: tuple[str, ...] = ()
    year: str = "0000"

    @property
    def folded(self) -> str:
        return self.name.lower()


@schema.table("counters", key=("name",))
class Counter(Record, kw_only=True):
    name: str
    value: int = 0


def put(tx: Transaction, record: Record) -> None:
    tx.put(record)


def increment(tx: Transaction, name: str) -> int:
    before = tx.get(Counter, name) or Counter(name=name)
    tx.put(Counter(name=name, value=before.value + 1))
    return before.value + 1
