"""What metadata costs: the rate of calls with metadata of their own over the rate without.

    python -m bench.metadata [URL]

Client and server share one process and one event loop, and 100 calls are in flight. The ways take
turns, and the best round of each counts. With `embedded://`, the default, the broker is in the same
process. A rate is in calls per second of this process's own time, so a busy machine changes little.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import leveret
from leveret import OutgoingCall, Service, method

IN_FLIGHT: Final = 100
CALLS: Final = 1_000
ROUNDS: Final = 10

_numbers = itertools.count(1)


class Echo(Service):
    """A method that costs nothing."""

    @method(timeout=30)
    async def echo(self, text: str) -> str:
        return text


def traceparent() -> dict[str, str]:
    """Metadata as a tracer sends it: other for each call."""
    return {"traceparent": f"00-{next(_numbers):032x}-0123456789abcdef-01"}


async def trace(call: OutgoingCall, call_next: Callable[[OutgoingCall], Awaitable[Any]]) -> Any:
    """Middleware of a tracer."""
    call.metadata |= traceparent()
    return await call_next(call)


async def rate(one: Callable[[], Awaitable[object]], count: int = CALLS) -> float:
    """Calls per second of processor time."""
    left = iter(range(count))

    async def work() -> None:
        for _ in left:
            await one()

    began = time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(work())
    return count / (time.process_time() - began)


async def main(url: str) -> None:
    """Measure, and print a line for each way."""
    async with (
        leveret.connect(url) as rabbit,
        rabbit.serving(Echo(), concurrency=2 * IN_FLIGHT),
        leveret.connect(url) as plain,
        leveret.connect(url, middleware=[trace]) as traced,
    ):
        echo, traced_echo = plain.remote(Echo), traced.remote(Echo)
        ways: dict[str, Callable[[], Awaitable[object]]] = {
            "without": lambda: echo.echo("hello"),
            "with_options": lambda: echo.with_options(metadata=traceparent()).echo("hello"),
            "middleware": lambda: traced_echo.echo("hello"),
        }
        best = dict.fromkeys(ways, 0.0)
        for number in range(ROUNDS + 1):
            for name, one in ways.items():
                measured = await rate(one)
                best[name] = max(best[name], measured if number else 0.0)  # the first warms up
    for name, value in best.items():
        print(f"{name:13} {value:8.0f}/s  {value / best['without']:.2f}")


if __name__ == "__main__":
    leveret.run(main(sys.argv[1] if len(sys.argv) > 1 else "embedded://"))
