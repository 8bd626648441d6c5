"""Orders of packages that are kept while packages change: one moves, and the others stay."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from hexhub.schema import PUBLIC

T = TypeVar("T")

Key: TypeAlias = tuple[Any, ...]

RECENT_MIN, RECENT_MAX = 200, 400


class Sortable(Protocol):
    """What a package is sorted by."""

    @property
    def repository(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def updated_at(self) -> datetime: ...
    @property
    def recent_downloads(self) -> int: ...
    @property
    def total_downloads(self) -> int: ...


def sort_key(sort: str) -> Callable[[Sortable], Key]:
    """The key of an order: newest and most first, then by name. No two packages share one."""
    match sort:
        case "recent_downloads":
            return lambda each: (-each.recent_downloads, *_by_name(each))
        case "total_downloads":
            return lambda each: (-each.total_downloads, *_by_name(each))
        case "inserted_at":
            return lambda each: (-each.created_at.timestamp(), *_by_name(each))
        case "updated_at":
            return lambda each: (-each.updated_at.timestamp(), *_by_name(each))
        case "updated_after":
            return lambda each: (each.updated_at.timestamp(), *_by_name(each))
    return _by_name


def _by_name(each: Sortable) -> Key:
    return (each.name, each.repository != PUBLIC, each.repository)


class Order(Generic[T]):
    """Values by a key that no two of them share."""

    def __init__(self, values: Iterable[T], key: Callable[[T], Key]) -> None:
        self._key = key
        self.values = sorted(values, key=key)
        self._keys = [key(each) for each in self.values]

    def move(self, before: T | None, after: T | None) -> None:
        """Put a value in the place of another; None: there was none, or will be none."""
        if before is not None:
            at = bisect_left(self._keys, self._key(before))
            del self._keys[at], self.values[at]
        if after is not None:
            key = self._key(after)
            at = bisect_left(self._keys, key)
            self._keys.insert(at, key)
            self.values.insert(at, after)


class Recent(Generic[T]):
    """The newest of many values, newest first; to be made anew when `exhausted`."""

    def __init__(self, values: Iterable[T], moment: Callable[[T], datetime]) -> None:
        self._moment = moment
        self.values = heapq.nlargest(RECENT_MAX, values, key=moment)
        self.complete = len(self.values) < RECENT_MAX
        """Whether there are no others."""

    @property
    def exhausted(self) -> bool:
        """Whether so many have gone that others may be newer than the last one."""
        return not self.complete and len(self.values) < RECENT_MIN

    def move(self, before: Sequence[T], after: Sequence[T]) -> None:
        """Put some values in the place of others."""
        oldest = None if self.complete or not self.values else self._moment(self.values[-1])
        gone = set(before)
        kept = [each for each in self.values if each not in gone]
        kept += [each for each in after if oldest is None or self._moment(each) >= oldest]
        kept.sort(key=self._moment, reverse=True)
        if len(kept) > RECENT_MAX:
            self.complete = False
        self.values = kept[:RECENT_MAX]
