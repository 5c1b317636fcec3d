"""The process whose memory is measured: a Leveret server or client, and nothing else.

Run as `python -m bench.memory_worker server|client`.

The client obeys these commands, one JSON object a line (the protocol: `bench/peer.py`):
`{"calls": N}` makes N calls, 100 in flight; `{"pending": N}` leaves N calls waiting at the server
and answers once all have arrived there; `{"release": true}` lets these end and checks each result.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import leveret
from leveret import Service, method

from .worker import answer_commands, run, serve

MOST_PENDING = 20_000
IN_FLIGHT = 100


class Memory(Service, name="bench_memory"):
    """A method that answers, one that waits, and one that ends the waiting."""

    def __init__(self) -> None:
        self._released = asyncio.Event()
        self._waiting = 0

    @method(timeout=30, idempotent=True, concurrency=1000, expires=60)
    async def increment(self, n: int) -> int:
        """Return n + 1."""
        return n + 1

    @method(timeout=120, idempotent=True, concurrency=MOST_PENDING, expires=60)
    async def wait(self, n: int) -> int:
        """Return n + 1 once `release` is called."""
        self._waiting += 1
        await self._released.wait()
        return n + 1

    @method(timeout=30, idempotent=True, expires=60)
    async def waiting(self) -> int:
        """How many calls of `wait` have begun."""
        return self._waiting

    @method(timeout=30, expires=60)
    async def release(self) -> None:
        """Let every `wait` return."""
        self._released.set()


class Caller:
    """The client's side of the commands."""

    def __init__(self, remote: Memory) -> None:
        self._remote = remote
        self._pending: list[asyncio.Task[int]] = []

    async def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do one command."""
        if "calls" in command:
            await self._make(int(command["calls"]))
        elif "pending" in command:
            await self._leave_pending(int(command["pending"]))
        else:
            await self._release()
        gc.collect()
        return {"done": True}

    async def _make(self, calls: int) -> None:
        numbers = iter(range(calls))

        async def caller() -> None:
            for n in numbers:
                _expect(await self._remote.increment(n), n + 1)

        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(caller())

    async def _leave_pending(self, calls: int) -> None:
        self._pending = [asyncio.create_task(self._wait(n)) for n in range(calls)]
        while await self._remote.waiting() < calls:
            for task in itertools.filterfalse(lambda task: not task.done(), self._pending):
                task.result()  # a call that failed would be waited for in vain
            await asyncio.sleep(0.05)

    async def _wait(self, n: int) -> int:
        return await self._remote.wait(n)

    async def _release(self) -> None:
        await self._remote.release()
        for n, result in enumerate(await asyncio.gather(*self._pending)):
            _expect(result, n + 1)
        self._pending = []


def _expect(result: int, right: int) -> None:
    if result != right:
        raise ValueError(f"got {result}, not {right}")


@asynccontextmanager
async def _serving(url: str) -> AsyncIterator[str]:
    async with leveret.connect(url) as rabbit, rabbit.serving(Memory()):
        yield url


async def _call(url: str) -> None:
    async with leveret.connect(url, max_in_flight=MOST_PENDING) as rabbit:
        await answer_commands(Caller(rabbit.remote(Memory)).answer)


if __name__ == "__main__":
    address = os.environ["BENCH_ADDRESS"]
    if sys.argv[1] == "server":
        run(lambda: serve(_serving(address)), "uvloop")
    else:
        run(lambda: _call(address), "uvloop")
