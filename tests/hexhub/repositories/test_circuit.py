"""The circuit breaker to the upstream."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hexhub.errors import Unreachable
from hexhub.patience import NOT_BY_ITSELF_S, WAITED_OUT
from hexhub.repositories.circuit import (
    FAILURES_MAX,
    HOLD_MAX,
    OPEN_MAX,
    OPEN_MIN,
    Circuit,
)


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


def _state(circuit: Circuit) -> str:
    return circuit.state


def _opened() -> tuple[Circuit, Clock]:
    clock = Clock()
    circuit = Circuit(clock)
    for _ in range(FAILURES_MAX):
        circuit.enter()
        circuit.failed("no answer")
    return circuit, clock


def test_it_opens_after_failures_in_a_row_and_says_why_and_for_how_long() -> None:
    circuit, _ = _opened()
    assert circuit.state == "open"
    with pytest.raises(Unreachable, match="no answer") as refused:
        circuit.enter()
    assert refused.value.retry_after_s == OPEN_MIN.total_seconds()


def test_an_answer_between_failures_starts_the_count_anew() -> None:
    circuit = Circuit(Clock())
    for _ in range(FAILURES_MAX - 1):
        circuit.failed("no answer")
    circuit.succeeded()
    circuit.failed("no answer")
    assert circuit.state == "closed"


def test_one_request_at_a_time_tries_whether_the_upstream_is_back() -> None:
    circuit, clock = _opened()
    clock.time += OPEN_MIN
    assert _state(circuit) == "half-open"
    circuit.enter()
    with pytest.raises(Unreachable):
        circuit.enter()
    circuit.succeeded()
    circuit.enter()
    assert _state(circuit) == "closed"


def test_a_trial_that_is_given_up_makes_room_for_another() -> None:
    circuit, clock = _opened()
    clock.time += OPEN_MIN
    circuit.enter()
    circuit.abandoned()
    circuit.enter()


def test_each_failed_trial_doubles_the_time_up_to_a_bound() -> None:
    circuit, clock = _opened()
    waits = []
    for _ in range(6):
        before = clock.time
        while circuit.state == "open":
            clock.time += timedelta(seconds=1)
        waits.append(clock.time - before)
        circuit.enter()
        circuit.failed("no answer")
    assert waits == [min(OPEN_MAX, OPEN_MIN * 2**n) for n in range(6)]


def test_clients_wait_a_short_trouble_out_and_are_told_to_give_up_in_a_long_one() -> None:
    """Erlang's HTTP client comes again by itself, for ever, when it is told less than 100 s."""
    circuit, clock = _opened()
    assert circuit.again_in(5) == 5
    clock.time += WAITED_OUT + timedelta(seconds=1)
    assert circuit.again_in(5) == NOT_BY_ITSELF_S > 99
    assert circuit.again_in(600) == 600
    circuit.succeeded()
    circuit.failed("no answer")
    assert circuit.again_in(0.2) == 1


def test_an_upstream_that_asks_to_be_left_alone_is_for_a_bounded_time() -> None:
    clock = Clock()
    circuit = Circuit(clock)
    circuit.open("too many requests", 10**6)
    clock.time += HOLD_MAX - timedelta(seconds=1)
    assert _state(circuit) == "open"
    clock.time += timedelta(seconds=1)
    assert _state(circuit) == "half-open"
