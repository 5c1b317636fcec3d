"""What streams take of memory, and of the time of other calls.

    python -m bench.stream_memory [URL]

A client, a server and, unless `URL` names another, an embedded broker are a process each. A stream
and an upload of 1 GB in items of 64 KB go to a consumer that sleeps: growth is the peak of a
process (VmHWM, of Linux) while that lasts, less what it had before. Then calls are made beside a
stream whose consumer has stopped, and without, in turns; and a client opens 10,000 streams.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal

from .process import WorkerProcess

ITEMS: Final = 16_384
"""Of 64 KB: 1 GB."""
SLEEPS_AFTER: Final = 64
"""Items."""
SLEEPS_FOR: Final = 0.01
"""Seconds."""
OPEN: Final = 10_000
CALLS: Final = 3_000
ROUNDS: Final = 5
PATIENCE: Final = 300.0
"""Seconds for a command."""

Direction = Literal["stream", "upload"]
DIRECTIONS: Final[tuple[Direction, ...]] = ("stream", "upload")


class Processes:
    """The processes of one run."""

    def __init__(self, named: dict[str, WorkerProcess]) -> None:
        self._named = named

    async def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """Have the client do something."""
        return await self._named["client"].ask(command, PATIENCE)

    def mark(self) -> dict[str, int]:
        """Have peaks counted anew, as proc(5) says; returns the bytes that are in use now."""
        for process in self._named.values():
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")
        return self.resident("VmRSS")

    def resident(self, which: str) -> dict[str, int]:
        """Bytes of each process that were measured."""
        return {name: _status(process.pid, which) for name, process in self._named.items()}

    def growth(self, before: dict[str, int], which: str = "VmHWM") -> dict[str, int]:
        """Bytes by which the peak of each is above what it had."""
        return {name: now - before[name] for name, now in self.resident(which).items()}


@asynccontextmanager
async def processes(url: str = "") -> AsyncIterator[Processes]:
    """A client and a server, and an embedded broker where there is no other one."""
    command = [sys.executable, "-m", "bench.stream_memory_worker"]
    named: dict[str, WorkerProcess] = {}
    try:
        for name in ("server", "client") if url else ("broker", "server", "client"):
            named[name] = await WorkerProcess.start([*command, name], url)
            url = named[name].address or url
        yield Processes(named)
    finally:
        for process in reversed(named.values()):
            await process.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What it took to move items to a consumer that stopped, and then went on."""

    made: int
    """How many items there were once the sender waited for the consumer."""
    stopped: dict[str, int]
    """Bytes by which each process had grown by then."""
    whole: dict[str, int]
    """Bytes by which each had grown at most until all had arrived."""


async def move(
    of: Processes, direction: Direction, items: int, *, every: int = 0, pause: float = 0.0
) -> Moved:
    """Move items of 64 KB in one direction.

    :param every: after how many items the consumer sleeps.
    :param pause: for how many seconds.
    """
    before = of.mark()
    made: int = (await of.ask({"stop": direction, "items": items}))["made"]
    stopped = of.growth(before)
    moved = (await of.ask({"go": True, "every": every, "pause": pause}))["moved"]
    if moved != items:
        raise ValueError(f"{moved} items came of {items}")
    return Moved(made=made, stopped=stopped, whole=of.growth(before))


async def beside(of: Processes) -> tuple[float, float]:
    """The p99 of calls without, and beside, a stream whose consumer has stopped: milliseconds."""
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        found[0].append((await of.ask({"calls": CALLS}))["p99_ms"])
        await of.ask({"stop": "stream", "items": 100})
        found[1].append((await of.ask({"calls": CALLS}))["p99_ms"])
        await of.ask({"go": True})
    return median(found[0]), median(found[1])


async def main(url: str) -> None:
    """Measure, and print a line for each."""
    async with processes(url) as of:
        for direction in DIRECTIONS:
            found = await move(of, direction, ITEMS, every=SLEEPS_AFTER, pause=SLEEPS_FOR)
            print(f"1 GB, {direction}: {_megabytes(found.whole)}")
        without, with_it = await beside(of)
        print(f"p99 of calls: {without:.2f} ms, beside a stopped consumer {with_it:.2f} ms")
        before = of.mark()
        await of.ask({"open": OPEN})
        each = {name: size // OPEN for name, size in of.growth(before, "VmRSS").items()}
        print(f"{OPEN:,} open streams: bytes for each: {each}")
        await of.ask({"close": True})


def _megabytes(sizes: dict[str, int]) -> str:
    return ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in sizes.items())


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else ""))
