"""Calls that are made many times are counted by what became of them."""

from __future__ import annotations

import asyncio
from itertools import count

from leveret.cli.repeated_calls import Outcomes, described, repeat, summary
from leveret.errors import Busy, NoServer


async def test_so_many_calls_are_made_and_so_many_at_a_time() -> None:
    numbers = count(1)
    running = most = 0

    async def call() -> None:
        nonlocal running, most
        number = next(numbers)
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        if number == 3:
            raise NoServer("nobody")
        if number % 5 == 0:
            raise Busy("too many")

    clock = count()
    outcomes = await repeat(call, 20, 4, lambda: float(next(clock)))
    assert next(numbers) == 21
    assert most == 4
    assert len(outcomes.seconds) == 15
    assert outcomes.failed == {"RESOURCE_EXHAUSTED": 4, "UNAVAILABLE": 1}
    assert isinstance(outcomes.first_error, NoServer)
    assert outcomes.took > 0


def test_the_summary_has_times_and_failures() -> None:
    outcomes = Outcomes(seconds=[number / 1000 for number in range(1, 101)], took=2.0)
    assert summary(outcomes) == [
        "100 calls in 2 s, 50 per second; 100 succeeded, 0 failed",
        "those that succeeded took min 1 ms, p50 51 ms, p95 96 ms, p99 100 ms, max 100 ms",
    ]
    assert described(outcomes)["times"]["p95"] == 0.096
    outcomes.failed["UNAVAILABLE"] = 2
    outcomes.first_error = NoServer("nobody\nis there")
    assert summary(outcomes)[2:] == [
        "2 UNAVAILABLE",
        "the first error: NoServer: nobody\\nis there (executed: no)",
    ]
    assert described(outcomes)["failed"] == {"UNAVAILABLE": 2}


def test_where_all_fail_there_are_no_times() -> None:
    outcomes = Outcomes(took=0.0)
    outcomes.failed["UNAVAILABLE"] = 1
    assert summary(outcomes)[0] == "1 calls in 0, ? per second; 0 succeeded, 1 failed"
    assert (described(outcomes)["times"], outcomes.quantile(0.5)) == ({}, 0.0)
