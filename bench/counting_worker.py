"""A server or a client of `bench.counting`: a process that does what it is told on its input.

python -m bench.counting_worker server|client
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

import leveret
from leveret import Service, method

from .counting_switch import count
from .worker import answer_commands, run

IN_FLIGHT = 100


class Counted(Service, name="bench_counted"):
    """A method that costs nothing."""

    @method(timeout=30)
    async def next(self, number: int) -> int:
        return number + 1


async def serve() -> None:
    """Serve; each command says whether calls are counted, each answer how long the process ran."""

    async def answer(command: dict[str, Any]) -> dict[str, Any]:
        count(command["counts"])
        return {"cpu": time.process_time()}

    async with leveret.connect(os.environ["BENCH_ADDRESS"]) as rabbit, rabbit.serving(Counted()):
        await answer_commands(answer)


async def call() -> None:
    """Make as many calls as a command says, counted or not, 100 in flight."""
    async with leveret.connect(os.environ["BENCH_ADDRESS"]) as rabbit:
        remote = rabbit.remote(Counted)

        async def answer(command: dict[str, Any]) -> dict[str, Any]:
            count(command["counts"])
            left = iter(range(command["calls"]))

            async def work() -> None:
                for number in left:
                    if await remote.next(number) != number + 1:
                        raise AssertionError(number)

            began, spent = time.perf_counter(), time.process_time()
            async with asyncio.TaskGroup() as group:
                for _ in range(IN_FLIGHT):
                    group.create_task(work())
            return {
                "seconds": time.perf_counter() - began,
                "cpu": time.process_time() - spent,
                "counted": rabbit.counters["bench_counted.next"].started,
            }

        await answer_commands(answer)


if __name__ == "__main__":
    run({"server": serve, "client": call}[sys.argv[1]], "uvloop")
