"""One call made many times, several at once: what became of them, and how long they took."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct, field

from leveret.cli.printing import describe, one_line
from leveret.cli.tables import duration, rate
from leveret.errors import CallError

__all__ = ["Outcomes", "described", "repeat", "summary"]


class Outcomes(Struct, eq=False, kw_only=True):
    """What became of calls."""

    seconds: list[float] = field(default_factory=list)
    """How long those took that succeeded."""
    failed: Counter[str] = field(default_factory=Counter)
    """How many failed, by the code of their error."""
    first_error: CallError | None = None
    """The first error; None if there was none."""
    took: float = 0.0
    """Seconds from the first call to the end of the last one."""

    def quantile(self, share: float) -> float:
        """The seconds within which this share of those that succeeded did so; 0.0 without any."""
        ordered = sorted(self.seconds)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


async def repeat(
    call: Callable[[], Awaitable[object]],
    times: int,
    at_once: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Outcomes:
    """Make a call so many times, so many of them at a time. Failures are counted."""
    outcomes = Outcomes()
    left = iter(range(times))

    async def one_after_the_other() -> None:
        for _ in left:
            began = clock()
            try:
                await call()
            except CallError as error:
                outcomes.failed[str(error.code)] += 1
                outcomes.first_error = outcomes.first_error or error
            else:
                outcomes.seconds.append(clock() - began)

    began = clock()
    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, times)):
            group.create_task(one_after_the_other())
    outcomes.took = clock() - began
    return outcomes


def summary(outcomes: Outcomes) -> list[str]:
    """What is to be told of calls, in lines."""
    succeeded, failed = len(outcomes.seconds), outcomes.failed.total()
    per_second = rate((succeeded + failed) / outcomes.took) if outcomes.took else "?"
    made = f"{succeeded + failed} calls in {duration(outcomes.took)}, {per_second} per second"
    lines = [f"{made}; {succeeded} succeeded, {failed} failed"]
    if outcomes.seconds:
        times = ", ".join(
            f"{name} {duration(seconds)}" for name, seconds in _times(outcomes).items()
        )
        lines.append(f"those that succeeded took {times}")
    lines += [f"{count} {code}" for code, count in outcomes.failed.most_common()]
    if outcomes.first_error is not None:
        lines.append(f"the first error: {describe(outcomes.first_error)}")
    return [one_line(line) for line in lines]


def described(outcomes: Outcomes) -> dict[str, Any]:
    """The same as data; times in seconds."""
    return {
        "calls": len(outcomes.seconds) + outcomes.failed.total(),
        "succeeded": len(outcomes.seconds),
        "failed": dict(outcomes.failed),
        "seconds": outcomes.took,
        "times": _times(outcomes) if outcomes.seconds else {},
        "first_error": None if outcomes.first_error is None else describe(outcomes.first_error),
    }


def _times(outcomes: Outcomes) -> dict[str, float]:
    return {
        "min": min(outcomes.seconds),
        "p50": outcomes.quantile(0.5),
        "p95": outcomes.quantile(0.95),
        "p99": outcomes.quantile(0.99),
        "max": max(outcomes.seconds),
    }
