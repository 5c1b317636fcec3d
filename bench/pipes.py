"""What a pipe saves: the time of one call through several methods over that of as many calls.

    python -m bench.pipes [URL]

The client and two servers are each 5 ms from the broker, in each direction, by a proxy that holds
back what passes. One pipe, or one row of calls, is under way at a time; the medians are shown. So
what counts is how many messages wait for each other: a row of *n* calls waits for 2 *n* of them,
each of which passes the broker, and a pipe for *n* + 1.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import leveret
from leveret import Service, method
from leveret.broker import EmbeddedBroker
from leveret.testing import FaultProxy

DELAY: Final = 0.005
STAGES: Final = (2, 4, 8, 16)
ROUNDS: Final = 20


class Odd(Service):
    """The stages with odd numbers."""

    @method(timeout=30)
    async def step(self, n: int) -> int:
        return n + 1


class Even(Service):
    """The stages with even numbers, at another server."""

    @method(timeout=30)
    async def step(self, n: int) -> int:
        return n + 1


async def took(one: Callable[[], Awaitable[int]], wanted: int) -> float:
    """The median of the milliseconds that something takes."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        assert await one() == wanted
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


async def measure(url: str) -> None:
    """Print a line for each number of stages."""
    async with FaultProxy(url) as proxy:
        proxy.delay(DELAY)
        async with (
            leveret.connect(proxy.url) as client,
            leveret.connect(proxy.url) as odd,
            leveret.connect(proxy.url) as even,
            odd.serving(Odd()),
            even.serving(Even()),
        ):
            steps = [client.remote(Odd).step, client.remote(Even).step]
            for count in STAGES:
                stages = [steps[number % 2] for number in range(count)]
                await report(client, stages)


async def report(client: leveret.Rabbit, stages: Sequence[Callable[[int], Awaitable[int]]]) -> None:
    """Print how long a pipe takes, and as many calls."""
    count = len(stages)
    pipe: Callable[[int], Awaitable[int]] = client.pipe(*stages)

    async def row() -> int:
        n = 0
        for stage in stages:
            n = await stage(n)
        return n

    one, many = await took(lambda: pipe(0), count), await took(row, count)
    saved = (many - one) / (count - 1)
    print(
        f"{count:2} stages   pipe {one:6.1f} ms   calls {many:6.1f} ms"
        f"   {saved:5.1f} ms less for each stage after the first"
    )


async def main(url: str) -> None:
    """Measure on this broker, or on an embedded one."""
    if url:
        await measure(url)
        return
    async with EmbeddedBroker() as broker:
        await measure(broker.url)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else ""))
