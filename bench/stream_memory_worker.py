"""The processes whose memory `bench.stream_memory` measures: a broker, a server, a client.

Run as `python -m bench.stream_memory_worker broker|server|client`.

The client obeys these commands, one JSON object a line (the protocol: `bench/peer.py`):

- `{"stop": "stream" | "upload", "items": N}` begins to move N items of 64 KB, has their consumer
  stop, and answers how many were made once the sender waits;
- `{"go": true, "every": K, "pause": S}` has it go on, sleep S seconds after every K items, and
  answers once all have arrived;
- `{"calls": N}` makes N calls, and answers their p99 in milliseconds;
- `{"open": N}` opens N streams, takes one item of each, and answers; `{"close": true}` ends them.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, Final

import leveret
from leveret import Service, method
from leveret.broker import EmbeddedBroker

from .load import percentile
from .worker import answer_commands, run, serve

SIZE: Final = 65_536
"""Bytes of an item."""
FIRST: Final = 16
"""How many items are taken before the consumer stops."""
MOST_OPEN: Final = 20_000
IN_FLIGHT: Final = 10
LOOKED_AT_EVERY: Final = 0.01
"""Seconds."""


class Pace:
    """How a consumer takes items: some, then none until it is told to, then with pauses."""

    def __init__(self) -> None:
        self._gate = asyncio.Event()
        self._every = 0
        self._pause = 0.0

    def go(self, every: int, pause: float) -> None:
        """Take the rest."""
        self._every, self._pause = every, pause
        self._gate.set()

    async def after(self, taken: int) -> None:
        """Wait after so many items."""
        if taken == FIRST:
            await self._gate.wait()
        if self._every and taken % self._every == 0:
            await asyncio.sleep(self._pause)


class Bulk(Service, name="bench_bulk_streams"):
    """Gives and takes items of 64 KB."""

    def __init__(self) -> None:
        self._made = 0
        self._pace = Pace()

    @method(timeout=600, content_type="application/octet-stream", expires=60)
    async def give(self) -> AsyncIterator[bytes]:
        """64 KB after 64 KB, each a new object."""
        self._made = 0
        while True:
            self._made += 1
            yield os.urandom(16) * (SIZE // 16)

    @method(timeout=600, content_type="application/msgpack", expires=60)
    async def take(self, items: AsyncIterator[bytes]) -> int:
        """How many came, of the right size."""
        self._pace = Pace()
        taken = 0
        async for item in items:
            taken += len(item) == SIZE
            await self._pace.after(taken)
        return taken

    @method(timeout=600, expires=60, concurrency=MOST_OPEN)
    async def watch(self) -> AsyncIterator[int]:
        """One item, and then nothing."""
        yield 1
        await asyncio.Event().wait()

    @method(timeout=60, expires=60)
    async def made(self) -> int:
        """How many items `give` has made."""
        return self._made

    @method(timeout=60, expires=60)
    async def go(self, every: int, pause: float) -> None:
        """Have `take` go on."""
        self._pace.go(every, pause)

    @method(timeout=60, expires=60)
    async def increment(self, number: int) -> int:
        """Something beside."""
        return number + 1


class Caller:
    """The client's side of the commands."""

    def __init__(self, remote: Bulk) -> None:
        self._remote = remote
        self._pace = Pace()
        self._made = 0
        self._moving: asyncio.Task[int] | None = None
        self._is_upload = False
        self._open: list[Any] = []

    async def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do one command."""
        if "stop" in command:
            return {"made": await self._stop(command["stop"] == "upload", command["items"])}
        if "go" in command:
            return {"moved": await self._go(command.get("every", 0), command.get("pause", 0.0))}
        if "calls" in command:
            return {"p99_ms": await self._calls(command["calls"])}
        if "open" in command:
            self._open = await asyncio.gather(*(self._begin() for _ in range(command["open"])))
        else:
            await asyncio.gather(*(stream.aclose() for stream in self._open))
            self._open = []
        return {"done": True}

    async def _stop(self, is_upload: bool, items: int) -> int:
        self._pace = Pace()
        self._made = 0
        self._is_upload = is_upload
        move = self._upload(items) if is_upload else self._stream(items)
        self._moving = asyncio.create_task(move)
        made = -1
        while not made >= FIRST or made != await self._made_by_now():
            made = await self._made_by_now()
            await asyncio.sleep(LOOKED_AT_EVERY)
        return made

    async def _made_by_now(self) -> int:
        return self._made if self._is_upload else await self._remote.made()

    async def _go(self, every: int, pause: float) -> int:
        assert self._moving is not None
        if self._is_upload:
            await self._remote.go(every, pause)
        else:
            self._pace.go(every, pause)
        return await self._moving

    async def _stream(self, items: int) -> int:
        taken = 0
        async for item in self._remote.give():
            taken += len(item) == SIZE
            if taken == items:
                break
            await self._pace.after(taken)
        return taken

    async def _upload(self, items: int) -> int:
        async def source() -> AsyncIterator[bytes]:
            for _ in range(items):
                self._made += 1
                yield os.urandom(16) * (SIZE // 16)

        return await self._remote.take(source())

    async def _calls(self, calls: int) -> float:
        took: list[float] = []
        numbers = iter(range(calls))

        async def caller() -> None:
            for number in numbers:
                before = perf_counter()
                assert await self._remote.increment(number) == number + 1
                took.append(perf_counter() - before)

        await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
        return percentile(sorted(took), 0.99) * 1e3

    async def _begin(self) -> Any:
        stream = self._remote.watch()
        assert await anext(stream) == 1
        return stream


@asynccontextmanager
async def _broker() -> AsyncIterator[str]:
    async with EmbeddedBroker() as broker:
        yield broker.url


@asynccontextmanager
async def _serving(url: str) -> AsyncIterator[str]:
    async with leveret.connect(url) as rabbit, rabbit.serving(Bulk(), grace=0):
        yield url


async def _call(url: str) -> None:
    async with leveret.connect(url, max_in_flight=MOST_OPEN) as rabbit:
        await answer_commands(Caller(rabbit.remote(Bulk)).answer)


if __name__ == "__main__":
    address = os.environ["BENCH_ADDRESS"]
    match sys.argv[1]:
        case "broker":
            run(lambda: serve(_broker()), "uvloop")
        case "server":
            run(lambda: serve(_serving(address)), "uvloop")
        case _:
            run(lambda: _call(address), "uvloop")
