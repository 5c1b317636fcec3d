"""The load that every peer gets: so many calls in flight, for so long; and the figures it gives.

One loop drives all Python peers, and `peers/librabbitmq.c` does the same in C: each of `in_flight`
callers sends its next call as soon as its last one is answered, and every answer is checked.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from array import array
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any, Protocol

SMALLEST = 16
"""The payload (bytes) that stands for `int -> int`; larger ones are echoed as they are."""


class Calls(Protocol):
    """The two remote methods that every peer offers."""

    async def increment(self, n: int) -> int:
        """Return n + 1, counted by the server."""
        ...

    async def echo(self, body: bytes) -> bytes:
        """Return the bytes that the server sent back."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One measurement to make."""

    payload: int
    """Bytes of a request and of its reply; `SMALLEST` is the method on integers."""
    in_flight: int
    """Calls that wait for their answers at any moment."""
    seconds: float
    """How long new calls are started for."""
    warm_up: float
    """How long the same load runs before, uncounted (seconds)."""

    def to_json(self) -> dict[str, Any]:
        """The command that a client process reads; `peers/librabbitmq.c` relies on the order."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one measurement gave."""

    calls: int
    """Calls answered, each with the right answer."""
    rate: float
    """Calls per second, from the first request to the last reply."""
    p50_ms: float
    """Half of the calls were answered within this (milliseconds)."""
    p99_ms: float
    """99 of 100 calls were answered within this (milliseconds)."""


class WrongReplyError(Exception):
    """A peer answered, but not what was asked: its figures would mean nothing."""


def pattern(size: int) -> bytes:
    """The body to be echoed: every byte value in turn, so it is neither text nor all zeros."""
    return (bytes(range(255, -1, -1)) * (size // 256 + 1))[:size]


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the smallest value that at least `share` of all are up to."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


async def drive(calls: Calls, load: Load) -> Figures:
    """Warm up, then measure.

    :raises WrongReplyError: when a reply is not the right one.
    """
    call = checked_call(calls, load.payload)
    await _spell(call, load.in_flight, load.warm_up)
    return await _spell(call, load.in_flight, load.seconds)


def checked_call(calls: Calls, payload: int) -> Callable[[int], Awaitable[None]]:
    """The call to repeat, given its number; it raises `WrongReplyError` on a wrong answer."""
    if payload == SMALLEST:

        async def increment(number: int) -> None:
            result = await calls.increment(number)
            if result != number + 1:
                raise WrongReplyError(f"increment({number}) gave {result!r}")

        return increment
    body = pattern(payload)

    async def echo(number: int) -> None:
        if await calls.echo(body) != body:
            raise WrongReplyError(f"the echo of {payload} bytes came back changed (call {number})")

    return echo


async def _spell(call: Callable[[int], Awaitable[None]], in_flight: int, seconds: float) -> Figures:
    """Keep `in_flight` calls going for `seconds`, wait for the last reply, count."""
    latencies = array("d")
    numbers = itertools.count()
    start = perf_counter()
    end = start + seconds

    async def caller() -> None:
        sent = perf_counter()
        while sent < end:
            await call(next(numbers))
            answered = perf_counter()
            latencies.append(answered - sent)
            sent = answered

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(caller())
    elapsed = perf_counter() - start
    ordered = sorted(latencies) or [0.0]
    return Figures(
        calls=len(latencies),
        rate=len(latencies) / elapsed,
        p50_ms=percentile(ordered, 0.50) * 1e3,
        p99_ms=percentile(ordered, 0.99) * 1e3,
    )
