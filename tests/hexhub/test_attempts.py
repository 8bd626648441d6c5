"""Failed guesses: how many, for how long, and of whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hexhub import attempts
from hexhub.attempts import SIGN_IN, Attempts, Limit

NOW = datetime(2030, 1, 1, tzinfo=UTC)
THREE = Limit("test", 3, timedelta(minutes=10))


def _fail(counted: Attempts, who: str, times: int, now: datetime = NOW) -> None:
    for _ in range(times):
        counted.failed(THREE, who, now)


def test_the_last_allowed_failure_is_the_last() -> None:
    counted = Attempts()
    _fail(counted, "192.0.2.1", 2)
    assert not counted.exhausted(THREE, "192.0.2.1", NOW)
    _fail(counted, "192.0.2.1", 1)
    assert counted.exhausted(THREE, "192.0.2.1", NOW)
    assert not counted.exhausted(THREE, "192.0.2.2", NOW)
    assert not counted.exhausted(SIGN_IN, "192.0.2.1", NOW)


def test_failures_age_one_by_one() -> None:
    counted = Attempts()
    for minute in range(3):
        _fail(counted, "mara", 1, NOW + timedelta(minutes=minute))
    assert counted.exhausted(THREE, "mara", NOW + timedelta(minutes=9, seconds=59))
    assert not counted.exhausted(THREE, "mara", NOW + timedelta(minutes=10))
    _fail(counted, "mara", 1, NOW + timedelta(minutes=10))
    assert counted.exhausted(THREE, "mara", NOW + timedelta(minutes=10))


def test_the_addresses_of_one_subscriber_count_together() -> None:
    counted = Attempts()
    for number in range(3):
        _fail(counted, f"2001:db8::{number + 1:x}", 1)
    assert counted.exhausted(THREE, "2001:db8::ffff", NOW)
    assert not counted.exhausted(THREE, "2001:db8:0:1::1", NOW)


def test_the_memory_for_guessers_is_bounded() -> None:
    counted = Attempts()
    for number in range(attempts.GUESSERS_MAX + 100):
        counted.failed(THREE, f"user{number}", NOW)
    assert len(counted._failures) == attempts.GUESSERS_MAX


def test_switched_off_nothing_is_too_much() -> None:
    counted = Attempts(enabled=False)
    _fail(counted, "mara", 100)
    assert not counted.exhausted(THREE, "mara", NOW)
