"""What has changed about a package: a number for each, so that what was made from rows can be kept.

Whoever keeps something made from a view notes the state before looking, and may use it for as long
as the state is the same. The state changes before the transaction that changed a row returns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from cluster import Change, Record
from hexhub.schema import (
    PUBLIC,
    AllowedName,
    Organization,
    Owner,
    Package,
    Release,
    ReservedName,
    Rule,
    Setting,
    User,
)

if TYPE_CHECKING:
    from cluster import Store

Topic: TypeAlias = tuple[str, str]
"""Repository and package; the package is empty for what is about all packages of a repository."""

State: TypeAlias = tuple[int, int]

OF_A_PACKAGE: frozenset[type[Record]] = frozenset({Package, Release, Owner})
OF_EVERYTHING: frozenset[type[Record]] = frozenset(
    {AllowedName, Organization, ReservedName, Rule, Setting, User}
)
"""Rows that change seldom and may change any answer. Others, such as counters, change none."""


T = TypeVar("T")

KEPT_MAX = 10_000


class Topics:
    def __init__(self, store: Store) -> None:
        self._changes: dict[Topic, int] = {}
        self._everything = 0
        self._watchers: list[Callable[[Topic | None], None]] = []
        store.subscribe(self._changed)

    def state(self, topic: Topic) -> State:
        """Changes whenever something about the topic does."""
        return self._everything, self._changes.get(topic, 0)

    def watch(self, watcher: Callable[[Topic | None], None]) -> None:
        """Have a function called with each topic that changed; None for all of them."""
        self._watchers.append(watcher)

    def _changed(self, change: Change) -> None:
        if change.keys is None:
            self._tell(None)
            return
        for record, key in change.keys:
            if record in OF_A_PACKAGE:
                self._tell((key[0], key[1]))
                self._tell((key[0], ""))
                if key[0] != PUBLIC:
                    # A name of ours is withheld from the upstream's part of the public addresses.
                    self._tell((PUBLIC, key[1]))
            elif record in OF_EVERYTHING:
                self._tell(None)

    def _tell(self, topic: Topic | None) -> None:
        if topic is None:
            self._everything += 1
            self._changes.clear()
        else:
            self._changes[topic] = self._changes.get(topic, 0) + 1
        for watcher in self._watchers:
            watcher(topic)


class Memo(Generic[T]):
    """Values made from rows about one topic each, kept until something about it changes."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._kept: dict[tuple[Topic, str], tuple[State, T]] = {}

    def get(self, topic: Topic, variant: str, make: Callable[[], T]) -> T:
        """The value kept, else a new one; `make` reads a view and does not wait."""
        state = self._topics.state(topic)
        kept = self._kept.get((topic, variant))
        if kept is not None and kept[0] == state:
            return kept[1]
        value = make()
        if len(self._kept) >= KEPT_MAX:
            self._kept.clear()
        self._kept[topic, variant] = (state, value)
        return value
