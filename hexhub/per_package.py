"""What is derived from the rows of each package, in memory and true, made in short turns of the loop.

At the size of hex.pm the first reading takes a second or two of processor time. It never holds the
loop for longer than a turn and a package, so requests that do not need it are answered meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from hexhub.schema import Package
from hexhub.turns import TURN_S

if TYPE_CHECKING:
    from cluster import Store, View

Name: TypeAlias = tuple[str, str]
"""Repository and package."""

T = TypeVar("T")


class PerPackage(Generic[T]):
    """A value for each package whose key begins with `prefix`; read at the first need.

    Whoever owns it passes on what changed: `stale`, or `forget` when that may be everything.
    """

    def __init__(
        self,
        store: Store,
        make: Callable[[View, Package], T],
        *prefix: str,
        changed: Callable[[Name, T | None, T | None], None],
    ) -> None:
        """`changed` is told the value before and after; None where there is no package."""
        self._store = store
        self._make = make
        self._prefix = prefix
        self._tell = changed
        self.values: dict[Name, T] = {}
        self._stale: set[Name] = set()
        self._read_to: Name | None = None
        self._whole = False
        self._turn = asyncio.Lock()

    def stale(self, key: Name) -> None:
        """Have a package read anew before `fresh` returns again."""
        self._stale.add(key)

    def forget(self) -> None:
        """Read everything anew. What is gone is dropped when that is done."""
        self._whole, self._read_to = False, None
        self._stale = set(self.values)

    async def fresh(self) -> None:
        """Return once every value is that of now: nothing has changed since when it returns."""
        if self._whole and not self._stale:
            return
        async with self._turn:
            while True:
                if self._take_turn():
                    return
                await asyncio.sleep(0)

    def _take_turn(self) -> bool:
        """Read for a moment; whether nothing is left to read."""
        until = time.monotonic() + TURN_S
        with self._store.view() as view:
            if not self._whole:
                for package in view.scan(Package, *self._prefix, after=self._read_to):
                    key = (package.repository, package.name)
                    self._put(view, key, package)
                    self._read_to = key
                    if time.monotonic() >= until:
                        return False
                self._whole = True
            while self._stale:
                key = next(iter(self._stale))
                self._put(view, key, view.get(Package, *key))
                if time.monotonic() >= until:
                    return not self._stale
        return True

    def _put(self, view: View, key: Name, package: Package | None) -> None:
        before = self.values.get(key)
        after = None if package is None else self._make(view, package)
        if after is not None:
            self.values[key] = after
        else:
            self.values.pop(key, None)
        if before is not None or after is not None:
            self._tell(key, before, after)
        self._stale.discard(key)
