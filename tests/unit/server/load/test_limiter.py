"""How many calls of a method run at a time, found from how long they take in a simulated server."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

import pytest

from leveret import Adaptive, ContractError
from leveret.server.load.limiter import Limiter


def simulate(
    limiter: Limiter,
    seconds: float,
    latency: Callable[[int], float],
    *,
    start: float = 0.0,
    demand: int = 10_000,
) -> float:
    """Run calls one after the other, always as many as the limit and the demand allow.

    :param latency: how long a call takes that begins when so many run.
    :returns: the calls that ended, per second.
    """
    rng = random.Random(7)
    ends: list[tuple[float, float]] = []
    now, done = start, 0
    while now < start + seconds:
        while len(ends) < min(limiter.limit, demand):
            took = latency(len(ends) + 1) * rng.uniform(0.9, 1.1)
            heapq.heappush(ends, (now + took, took))
        now, took = heapq.heappop(ends)
        limiter.took(now, took, len(ends) + 1)
        done += 1
    return done / seconds


def capacity(calls: int, alone: float = 0.1) -> Callable[[int], float]:
    """A server that runs so many calls at full speed; more of them share it."""
    return lambda running: alone * max(1.0, running / calls)


def test_the_limit_rises_while_latency_does_not() -> None:
    limiter = Limiter(Adaptive(most=200), 200)
    assert limiter.limit == Adaptive().start
    simulate(limiter, 30, capacity(1000))
    assert limiter.limit == 200


def test_the_limit_does_not_rise_where_it_is_not_used() -> None:
    limiter = Limiter(Adaptive(start=10), 200)
    simulate(limiter, 30, capacity(1000), demand=3)
    assert limiter.limit == 10


def test_the_limit_settles_near_the_capacity_and_keeps_its_throughput() -> None:
    limiter = Limiter(Adaptive(), 200)
    simulate(limiter, 20, capacity(20))
    limits: list[int] = []

    def watched(running: int) -> float:
        limits.append(running)
        return capacity(20)(running)

    rate = simulate(limiter, 10, watched, start=20)
    assert 20 <= max(limits) <= 70
    assert rate >= 0.9 * 20 / 0.1


def test_the_limit_falls_when_the_capacity_does_and_recovers_with_it() -> None:
    limiter = Limiter(Adaptive(), 200)
    simulate(limiter, 20, capacity(80))
    before = limiter.limit
    assert before >= 80
    simulate(limiter, 10, capacity(10), start=20)
    assert limiter.limit < before / 2
    simulate(limiter, 20, capacity(80), start=30)
    assert limiter.limit >= 80


def test_calls_that_are_slower_for_other_reasons_do_not_keep_the_limit_down() -> None:
    limiter = Limiter(Adaptive(), 100)
    simulate(limiter, 20, capacity(1000, alone=0.03))
    simulate(limiter, 60, capacity(1000, alone=0.3), start=20)
    assert limiter._baseline == pytest.approx(0.3, rel=0.2)
    assert limiter.limit == 100


def test_one_strangely_fast_moment_does_not_hold_the_limit_down() -> None:
    limiter = Limiter(Adaptive(), 100)
    simulate(limiter, 20, capacity(1000))
    simulate(limiter, 3, capacity(1000, alone=0.001), start=20)
    simulate(limiter, 30, capacity(1000), start=23)
    assert limiter.limit == 100


def test_a_method_whose_calls_vary_widely_keeps_a_high_limit() -> None:
    rng = random.Random(3)
    limiter = Limiter(Adaptive(), 100)
    simulate(limiter, 30, lambda _n: rng.expovariate(10))
    lowest = 100

    def watched(_running: int) -> float:
        nonlocal lowest
        lowest = min(lowest, limiter.limit)
        return rng.expovariate(10)

    simulate(limiter, 30, watched, start=30)
    assert lowest >= 50


def test_the_limit_stays_within_its_bounds() -> None:
    limiter = Limiter(Adaptive(least=5, most=200, start=4), 12)
    assert limiter.limit == 5
    simulate(limiter, 10, capacity(1))
    assert limiter.limit >= 5
    simulate(limiter, 60, capacity(1000), start=10)
    assert limiter.limit == 12


@pytest.mark.parametrize(
    "wrong",
    [
        {"least": 0},
        {"most": 65_536},
        {"most": 1.5},
        {"start": True},
        {"least": 3, "most": 2},
        {"tolerance": 1},
        {"tolerance": float("inf")},
        {"tolerance": "2"},
    ],
)
def test_a_policy_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ContractError, match="Adaptive: "):
        Adaptive(**wrong)  # type: ignore[arg-type]
