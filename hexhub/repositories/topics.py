"""What has changed about a package: a number for each, so that what was made from rows can be kept.

Whoever keeps something made from a view notes the stamp before looking, and may use it for as long
as the stamp holds. A number moves twice: on the thread that applied a change, before anyone hears
of it, and again when everyone in this process has heard, lest something that was made in between
from an older memo be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from cluster import Change, Record
from hexhub.marks import EVERYTHING, NETWORKS, Marks, Stamp, place
from hexhub.schema import (
    PUBLIC,
    Advisory,
    AllowedName,
    Key,
    KnownNetwork,
    Member,
    Organization,
    Owner,
    Package,
    Release,
    ReservedName,
    Rule,
    Session,
    Setting,
    Token,
    User,
)

if TYPE_CHECKING:
    from cluster import Store

Topic: TypeAlias = tuple[str, str]
"""Repository and package; the package is empty for what is about all packages of a repository."""

OF_A_PACKAGE: frozenset[type[Record]] = frozenset({Package, Release, Owner})
OF_EVERYTHING: frozenset[type[Record]] = frozenset(
    {Advisory, AllowedName, Organization, ReservedName, Rule, Setting, User}
)
"""Rows that change seldom and may change any answer. Others, such as counters, change none."""
ROWS_APART: frozenset[type[Record]] = frozenset({Key, Member, Session, Token})
"""Rows that give rights to one caller each, and move a word of their own."""

T = TypeVar("T")

KEPT_MAX = 10_000


class Topics:
    def __init__(self, store: Store, marks: Marks | None = None) -> None:
        self.marks = marks or Marks()
        store.subscribe(self._changed, at_once=True)
        store.subscribe(self._changed)

    def stamp(self, topic: Topic, *more: int) -> Stamp:
        """To be taken before a look at rows of a topic; `more`: further words that matter."""
        return self.marks.stamp((EVERYTHING, place(*topic), *more))

    def holds(self, stamp: Stamp) -> bool:
        """Whether nothing of it has changed since."""
        return self.marks.holds(stamp)

    def forget_all(self) -> None:
        """Let nothing that was kept hold any more."""
        self.marks.move((EVERYTHING, NETWORKS))

    def _changed(self, change: Change) -> None:
        self.marks.move(_places(change))


def of_row(record: type[Record], *key: str) -> int:
    """The word that moves when this row of `ROWS_APART` does."""
    return place(record.__name__, *key)


def _places(change: Change) -> Iterator[int]:
    if change.keys is None:
        yield from (EVERYTHING, NETWORKS)
        return
    for record, key in change.keys:
        if record in OF_A_PACKAGE:
            yield place(key[0], key[1])
            yield place(key[0], "")
            if key[0] != PUBLIC:
                # A name of ours is withheld from the upstream's part of the public addresses.
                yield place(PUBLIC, key[1])
        elif record in OF_EVERYTHING:
            yield EVERYTHING
        elif record in ROWS_APART:
            yield of_row(record, *key)
        elif record is KnownNetwork:
            yield NETWORKS


class Memo(Generic[T]):
    """Values made from rows about one topic each, kept until something about it changes."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._kept: dict[tuple[Topic, str], tuple[Stamp, T]] = {}

    def get(self, topic: Topic, variant: str, make: Callable[[], T]) -> T:
        """The value kept, else a new one; `make` reads a view and does not wait."""
        kept = self._kept.get((topic, variant))
        if kept is not None and self._topics.holds(kept[0]):
            return kept[1]
        stamp = self._topics.stamp(topic)
        value = make()
        if len(self._kept) >= KEPT_MAX:
            self._kept.clear()
        self._kept[topic, variant] = (stamp, value)
        return value
