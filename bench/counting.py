"""What it costs that clients and servers count their calls: the same calls, counted and not.

    python -m bench.counting [URL]

A client and a server, a process each, with a RabbitMQ: short rounds of 100 calls in flight, counted
and not counted in turn, with the order changing each time, so that a busy machine slows both alike.
The figures are medians over all pairs of rounds: of calls per second, and of the processor time of
client and server for a call, which other people's work changes little.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from statistics import median
from typing import Final

from .broker import rabbitmq_at
from .process import WorkerProcess

PAIRS: Final = 300
CALLS: Final = 1_000
_PATIENCE: Final = 120.0
"""Seconds after which a round counts as hung."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round took."""

    seconds: float
    """From its begin to its end."""
    client: float
    """Seconds of the client's processor time."""
    server: float
    """Seconds of the server's processor time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The medians."""

    per_second: float
    """Calls, counted."""
    per_second_uncounted: float
    """Calls, not counted."""
    slower: float
    """By which share there are fewer calls per second, in a pair of rounds."""
    microseconds: float
    """Processor time of client and server for a call, counted."""
    microseconds_uncounted: float
    """The same, not counted."""
    more: float
    """By which share that is more, in a pair of rounds."""
    counted: int
    """How many calls the client has counted."""


async def measure(url: str, *, pairs: int, calls: int) -> Found:
    """Measure on a broker."""
    rounds: dict[bool, list[Round]] = {True: [], False: []}
    counted = 0
    async with AsyncExitStack() as stack:
        workers = []
        for role in ("server", "client"):
            command = [sys.executable, "-m", "bench.counting_worker", role]
            workers.append(worker := await WorkerProcess.start(command, url))
            stack.push_async_callback(worker.stop)
        server, client = workers

        async def one(counts: bool) -> Round:
            nonlocal counted
            before = await server.ask({"counts": counts}, _PATIENCE)
            told = await client.ask({"counts": counts, "calls": calls}, _PATIENCE)
            after = await server.ask({"counts": counts}, _PATIENCE)
            counted = told["counted"]
            spent = after["cpu"] - before["cpu"]
            return Round(seconds=told["seconds"], client=told["cpu"], server=spent)

        for warm_up in (True, False):
            await one(warm_up)
        for pair in range(pairs):
            for counts in (True, False) if pair % 2 else (False, True):
                rounds[counts].append(await one(counts))
    return _medians(rounds[True], rounds[False], calls, counted)


def _medians(on: list[Round], off: list[Round], calls: int, counted: int) -> Found:
    spent_on = [each.client + each.server for each in on]
    spent_off = [each.client + each.server for each in off]
    return Found(
        per_second=calls / median(each.seconds for each in on),
        per_second_uncounted=calls / median(each.seconds for each in off),
        slower=1 - median(b.seconds / a.seconds for a, b in zip(on, off, strict=True)),
        microseconds=median(spent_on) / calls * 1e6,
        microseconds_uncounted=median(spent_off) / calls * 1e6,
        more=median(a / b for a, b in zip(spent_on, spent_off, strict=True)) - 1,
        counted=counted,
    )


def show(found: Found) -> None:
    """Print a line for each figure."""
    print(f"{'':24}{'counted':>12}{'not counted':>14}{'cost':>9}")
    rates = f"{found.per_second:>12,.0f}{found.per_second_uncounted:>14,.0f}{found.slower:>9.1%}"
    print(f"{'calls/s':24}{rates}")
    spent = f"{found.microseconds:>12.1f}{found.microseconds_uncounted:>14.1f}{found.more:>9.1%}"
    print(f"{'processor us of a call':24}{spent}")


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(prog="python -m bench.counting", description=__doc__)
    parser.add_argument("url", nargs="?", help="of a RabbitMQ")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--calls", type=int, default=CALLS, help="of a round")
    given = parser.parse_args()
    with rabbitmq_at(given.url) as url:
        found = asyncio.run(measure(url, pairs=given.pairs, calls=given.calls))
    if given.json:
        print(json.dumps(asdict(found)))
    else:
        show(found)


if __name__ == "__main__":
    main()
