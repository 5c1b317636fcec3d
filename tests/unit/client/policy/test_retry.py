"""What may be tried again, after which pause, and how often a client may do it."""

from __future__ import annotations

from typing import Any

import pytest

import leveret
from leveret import (
    Busy,
    CallError,
    Cancelled,
    CircuitOpen,
    ConnectionLost,
    DeadlineExceeded,
    DeclaredError,
    Hedge,
    InvalidArgument,
    InvalidResult,
    MaybeExecuted,
    NoServer,
    PermissionDenied,
    RemoteError,
    Retry,
    Unauthenticated,
    Unimplemented,
)
from leveret.client.policy.retry import (
    CURABLE,
    RESERVE,
    RetryBudget,
    executed_of_all,
    may_be_cured,
    pause_before_next,
)
from leveret.errors import Executed
from tests.unit.client.policy.hand_clock import HandClock


class SoldOut(DeclaredError):
    """There is none left."""


CURED = [NoServer, Busy, ConnectionLost, Cancelled]
NEVER = [
    MaybeExecuted,
    DeadlineExceeded,
    CircuitOpen,
    Unimplemented,
    InvalidArgument,
    PermissionDenied,
    Unauthenticated,
    RemoteError,
    InvalidResult,
]


def test_the_table_tells_of_every_error_that_a_call_can_end_with() -> None:
    public = {
        kind
        for name in leveret.__all__
        if isinstance(kind := getattr(leveret, name), type) and issubclass(kind, CallError)
    }
    assert set(CURABLE) == public
    assert {kind for kind, (curable, _) in CURABLE.items() if curable} == set(CURED)
    assert all(reason for _, reason in CURABLE.values())


@pytest.mark.parametrize("kind", CURED)
@pytest.mark.parametrize("executed", ["no", "maybe", "yes"])
def test_a_passing_failure_is_tried_again_where_the_handler_cannot_run_twice_or_may(
    kind: type[CallError], executed: Executed
) -> None:
    error = kind("down", executed=executed)
    assert may_be_cured(error, idempotent=True)
    assert may_be_cured(error, idempotent=False) == (executed == "no")


@pytest.mark.parametrize("kind", NEVER)
def test_a_lasting_failure_is_not_tried_again_even_where_nothing_ran(
    kind: type[CallError],
) -> None:
    assert not may_be_cured(kind("wrong", executed="no"), idempotent=True)


def test_declared_errors_and_unknown_ones_are_answers_and_not_tried_again() -> None:
    class Other(CallError):
        """Somebody's own."""

    for error in (SoldOut(), Other("?")):
        error.executed = "no"
        assert not may_be_cured(error, idempotent=True)


@pytest.mark.parametrize(
    ("attempts", "together"),
    [
        (("no", "no"), "no"),
        (("no", "maybe"), "maybe"),
        (("maybe", "no"), "maybe"),
        (("yes", "maybe", "no"), "yes"),
    ],
)
def test_a_handler_ran_if_it_ran_in_any_attempt(
    attempts: tuple[Executed, ...], together: Executed
) -> None:
    assert executed_of_all(*attempts) == together


def test_pauses_double_up_to_the_most() -> None:
    retry = Retry(backoff=0.05, most=0.3)
    pauses = [pause_before_next(retry, n, NoServer(), lambda: 1.0) for n in range(1, 6)]
    assert pauses == [0.05, 0.1, 0.2, 0.3, 0.3]


def test_the_whole_pause_is_left_to_chance() -> None:
    retry = Retry(backoff=0.4)
    assert pause_before_next(retry, 1, NoServer(), lambda: 0.0) == 0
    assert pause_before_next(retry, 1, NoServer(), lambda: 0.25) == 0.1


def test_the_server_is_not_asked_again_before_it_said() -> None:
    retry = Retry(backoff=0.4)
    assert pause_before_next(retry, 1, Busy(retry_after=2), lambda: 0.0) == 2
    assert pause_before_next(retry, 1, Busy(retry_after=2), lambda: 0.5) == 2.2
    assert pause_before_next(retry, 1, Busy(retry_after=0), lambda: 0.5) == 0.2


def test_the_server_is_not_asked_again_at_all_if_it_said_so() -> None:
    assert pause_before_next(Retry(), 1, Busy(retry_after=-1), lambda: 0.5) is None


def test_a_hundred_doublings_are_still_a_number() -> None:
    assert pause_before_next(Retry(attempts=100), 99, NoServer(), lambda: 1.0) == 1.0


# -- the budget ------------------------------------------------------------------------------------


def spent(budget: RetryBudget) -> int:
    """Spend all there is."""
    count = 0
    while budget.spend():
        count += 1
    return count


def test_a_client_begins_with_a_small_reserve() -> None:
    assert spent(RetryBudget(HandClock().time)) == RESERVE


def test_an_outage_is_not_amplified() -> None:
    clock = HandClock()
    budget = RetryBudget(clock.time)
    retries = 0
    for _ in range(1000):  # within one moment; each call fails as often as it may
        budget.earn(0.25)
        retries += spent(budget)
    assert retries == 1000 * 0.25 + RESERVE


def test_the_reserve_comes_back_with_time_and_no_further() -> None:
    clock = HandClock()
    budget = RetryBudget(clock.time)
    spent(budget)
    clock.now += 3
    assert spent(budget) == 3
    clock.now += 1000
    assert spent(budget) == RESERVE


def test_what_calls_earn_does_not_add_up_without_end() -> None:
    budget = RetryBudget(HandClock().time)
    for _ in range(100_000):
        budget.earn(0.2)
    assert spent(budget) == 100


def test_earned_retries_do_not_fade() -> None:
    clock = HandClock()
    budget = RetryBudget(clock.time)
    for _ in range(100):
        budget.earn(0.5)
    clock.now += 1000
    assert budget.left == RESERVE + 50


# -- the records -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"attempts": 0}, "Retry: attempts is 0; it is 1 to 100"),
        ({"attempts": 101}, "attempts is 101"),
        ({"attempts": 2.0}, "attempts is 2.0"),
        ({"attempts": True}, "attempts is True"),
        ({"backoff": -0.1}, "backoff is -0.1; it is a number, 0 or above"),
        ({"backoff": float("nan")}, "backoff is nan"),
        ({"most": float("inf")}, "most is inf"),
        ({"budget": "0.2"}, "budget is '0.2'"),
    ],
    ids=str,
)
def test_a_retry_that_cannot_be_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Retry(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"percentile": 0}, "Hedge: percentile is 0; it is above 0 and below 100"),
        ({"percentile": 100}, "percentile is 100"),
        ({"percentile": None}, "percentile is None"),
        ({"after": -1}, "after is -1"),
        ({"at_least": float("nan")}, "at_least is nan"),
        ({"budget": True}, "budget is True"),
    ],
    ids=str,
)
def test_a_hedge_that_cannot_be_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Hedge(**values)
