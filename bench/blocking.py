"""What calls without asyncio cost: beside calls with it, and beside pika from as many threads.

    python -m bench.blocking [URL] [--json] [--threads N] [--calls N] [--rounds N]

Servers and clients are a process each, on one RabbitMQ: the one at `URL` or in LEVERET_URL, or one
that is started. `leveret` is one `leveret.blocking` connection that all threads share; `pika` is a
connection for each thread, and RabbitMQ's tutorial on it. They take turns for some rounds, and the
best of them counts. The first round warms up.

`more` is what one call after the other takes of a thread beyond what it takes in an event loop,
where nothing else is under way. Both are in one process, and both loops are uvloop's, as
`leveret.run` and `leveret.blocking` have them. They take turns for many short rounds, of which the
medians count. `processor` is the same of the client's processor time, which is true of a busy
machine as well.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from .broker import rabbitmq_at
from .process import WorkerProcess

THREADS: Final = 20
CALLS: Final = 4_000
"""Calls of a round, of all threads together."""
ROUNDS: Final = 3
SHORT_ROUNDS: Final = 8
"""Of calls one after the other, by each way, in one round."""
PATIENCE: Final = 120.0
"""Seconds for one round."""
PEERS: Final = ("leveret", "pika")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was measured."""

    rates: dict[str, float]
    """Calls per second from many threads, by peer."""
    blocking: float
    """Microseconds of a call from one thread."""
    awaited: float
    """Microseconds of a call in an event loop."""
    processor: dict[str, float]
    """Microseconds of the client's processor time for a call, by way."""

    @property
    def times(self) -> float:
        """How many times the rate of pika."""
        return self.rates["leveret"] / self.rates["pika"]

    @property
    def more(self) -> float:
        """Microseconds that a blocking call takes more."""
        return self.blocking - self.awaited

    def as_json(self) -> dict[str, Any]:
        """The figures, as one object."""
        return {
            "per_second": {peer: round(rate) for peer, rate in self.rates.items()},
            "times": round(self.times, 2),
            "microseconds": {"blocking": round(self.blocking), "awaited": round(self.awaited)},
            "more": round(self.more),
            "processor": {way: round(it) for way, it in self.processor.items()},
        }


async def _start(url: str, stack: AsyncExitStack) -> dict[str, WorkerProcess]:
    """The clients, whose servers are there; all processes end with the stack."""
    clients = {}
    for peer in PEERS:
        for role in ("server", "client"):
            command = [sys.executable, "-m", "bench.blocking_worker", peer, role]
            clients[peer] = process = await WorkerProcess.start(command, url)
            stack.push_async_callback(process.stop)
    return clients


async def measure(url: str, *, threads: int, calls: int, rounds: int) -> Found:
    """Measure on a broker."""
    rates = dict.fromkeys(PEERS, 0.0)
    took: dict[str, list[float]] = {"blocking": [], "awaited": []}
    used: dict[str, list[float]] = {"blocking": [], "awaited": []}
    async with AsyncExitStack() as stack:
        clients = await _start(url, stack)
        for number in range(rounds + 1):
            for peer, client in clients.items():
                command: dict[str, Any] = {"threads": threads, "calls": calls}
                seconds = (await client.ask(command, PATIENCE))["seconds"]
                if number:
                    rates[peer] = max(rates[peer], calls / seconds)
            alone = max(calls // threads, 1)
            for way in [*took] * SHORT_ROUNDS:
                command = {"way": way, "calls": alone}
                answer = await clients["leveret"].ask(command, PATIENCE)
                if number:
                    took[way].append(1e6 * answer["seconds"] / alone)
                    used[way].append(1e6 * answer["processor"] / alone)
    return Found(
        rates=rates,
        processor={way: median(those) for way, those in used.items()},
        **{way: median(those) for way, those in took.items()},
    )


def show(found: Found, threads: int) -> None:
    """Print a line for each figure."""
    print(f"{threads} threads")
    for peer, rate in found.rates.items():
        print(f"  {peer:10}{rate:>10,.0f} calls/s")
    print(f"  {'ratio':10}{found.times:>10.2f}")
    print("one call after the other")
    print(f"  {'blocking':10}{found.blocking:>10,.0f} us")
    print(f"  {'awaited':10}{found.awaited:>10,.0f} us")
    print(f"  {'more':10}{found.more:>10,.0f} us")
    for way, used in found.processor.items():
        print(f"  {way:10}{used:>10,.0f} us of the processor")


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(prog="python -m bench.blocking", description=__doc__)
    parser.add_argument("url", nargs="?", help="of a RabbitMQ")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--calls", type=int, default=CALLS, help="of a round, of all threads")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    with rabbitmq_at(given.url) as url:
        found = asyncio.run(
            measure(url, threads=given.threads, calls=given.calls, rounds=given.rounds)
        )
    if given.json:
        print(json.dumps(found.as_json()))
    else:
        show(found, given.threads)


if __name__ == "__main__":
    main()
