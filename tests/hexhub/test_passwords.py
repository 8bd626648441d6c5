"""Passwords: hashed slowly, a bounded number at a time, and telling nothing by their time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from argon2 import PasswordHasher

from hexhub import passwords as passwords_module
from hexhub.errors import Unavailable
from hexhub.passwords import Passwords
from tests.hexhub.hubs import TestHub


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    """Passwords that are quick to check."""
    made = Passwords()
    made._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    yield made
    made.close()


async def test_a_password_matches_its_own_hash_and_no_other(passwords: Passwords) -> None:
    hashed = await passwords.hash("a good password")
    assert hashed.startswith("$argon2id$")
    assert await passwords.matches(hashed, "a good password")
    assert not await passwords.matches(hashed, "another password")
    assert await passwords.hash("a good password") != hashed


@pytest.mark.parametrize("stored", [None, "", "junk", "$argon2id$v=19$broken", "$2b$12$bcrypt"])
async def test_nothing_matches_what_is_no_hash(passwords: Passwords, stored: str | None) -> None:
    for password in ("", "a password that nobody has", "None"):
        assert not await passwords.matches(stored, password)


class Slow:
    """A hasher that waits, and counts how many wait with it."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.checked: list[str] = []
        self.most = self._now = 0
        self._lock = threading.Lock()

    def hash(self, password: str) -> str:
        return "$decoy"

    def verify(self, stored: str, password: str) -> bool:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        self.go_on.wait(20)
        with self._lock:
            self._now -= 1
            self.checked.append(stored)
        return True


async def test_only_so_many_are_checked_and_only_so_many_wait(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords_module, "WAITING_MAX", 8)
    slow: Any = Slow()
    passwords._hasher = slow
    slow.go_on.set()
    await passwords.matches(None, "warm up")
    slow.go_on.clear()
    checks = [asyncio.create_task(passwords.matches("$stored", "x")) for _ in range(8)]
    await asyncio.sleep(0)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await passwords.matches("$stored", "x")
    slow.go_on.set()
    assert await asyncio.gather(*checks) == [True] * 8
    assert slow.most <= 2
    assert await passwords.matches("$stored", "x")


async def test_an_unknown_user_costs_a_check_as_well(passwords: Passwords) -> None:
    slow: Any = Slow()
    slow.go_on.set()
    passwords._hasher = slow
    assert not await passwords.matches(None, "x")
    assert slow.checked == ["$decoy"]


async def test_too_many_sign_ins_at_once_are_503(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hub.user("otto", password="a good password")
    monkeypatch.setattr(passwords_module, "WAITING_MAX", 0)
    answer = await hub.basic("otto", "a good password").get("/api/users/me")
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
