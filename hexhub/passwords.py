"""Passwords: argon2id off the event loop, a bounded number at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from hexhub.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")

WAITING_MAX = 64
"""Checks that may wait for a free thread. Each costs 64 MiB and a tenth of a second of a core,
so an unbounded queue would be a way to stop the node."""


class Passwords:
    """Hash and check passwords; a check takes the same time whether or not the user exists."""

    def __init__(self, *, threads: int = 2) -> None:
        self._hasher = PasswordHasher()
        self._executor = ThreadPoolExecutor(threads, "argon2")
        self._waiting = 0
        self._decoy: str | None = None

    @property
    def waiting(self) -> int:
        """How many are under way or wait for a thread."""
        return self._waiting

    async def hash(self, password: str) -> str:
        """An argon2id PHC string."""
        return await self._run(self._hasher.hash, password)

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether this is the password; `stored` is None for a user who has none."""
        if self._decoy is None:
            self._decoy = await self.hash("a password that nobody has")
        correct = await self._run(self._verify, stored or self._decoy, password)
        return correct and bool(stored)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._waiting >= WAITING_MAX:
            raise Unavailable("too many sign-ins at once")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._executor, partial(work, *args, **kwargs)
            )
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
