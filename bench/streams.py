"""Streams of Leveret beside its own calls, and beside what its peers move: small items, and 64 KB.

    python -m bench.streams [URL] [--json]

Each peer's server and client are a process each: Leveret and the loop in C on one RabbitMQ, nats-py
on a nats-server, grpc.aio without a broker. RabbitMQ is the one at `URL` or in LEVERET_URL, or one
that is started. All take turns for some rounds, the first of which warms up; each figure is the
best of them: items or calls per second, and per second of processor time of both processes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from .broker import rabbitmq_at, with_named_vhost
from .load import SMALLEST
from .peer import CannotRunError
from .peers import C
from .process import WorkerProcess

ROUNDS: Final = 2
ITEMS: Final = {SMALLEST: 10_000, 65_536: 4_000}
"""How many items a round has, by their size in bytes."""
PYTHON: Final = {"leveret": "leveret", "nats": "nats", "grpc": "grpc"}
"""The peers in Python, and the module that each needs."""
PATIENCE: Final = 60.0
"""Seconds for one stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How fast something went."""

    by_time: float
    """Items or calls per second."""
    by_processor: float
    """The same per second of processor time of server and client."""

    def best(self, other: Rate) -> Rate:
        """The better of each."""
        return Rate(
            by_time=max(self.by_time, other.by_time),
            by_processor=max(self.by_processor, other.by_processor),
        )


class Peer:
    """The two processes of one peer."""

    def __init__(self, server: WorkerProcess, client: WorkerProcess) -> None:
        self._server = server
        self._client = client

    async def measure(self, command: dict[str, int], count: int) -> Rate:
        """Have the client do something that moves so many items."""
        before = self._processor_time()
        seconds: float = (await self._client.ask(command, PATIENCE))["seconds"]
        used = self._processor_time() - before
        return Rate(by_time=count / seconds, by_processor=count / max(used, 0.01))

    def _processor_time(self) -> float:
        return sum(_processor_time(process.pid) for process in (self._server, self._client))


async def start(name: str, url: str, build: Path, stack: AsyncExitStack) -> Peer:
    """Start a peer's processes, which are stopped with the stack.

    :raises CannotRunError: if something is missing.
    """
    processes = []
    for role in ("server", "client"):
        if name == C.name:
            command = C.command(role, build)
        elif find_spec(PYTHON[name]) is None:
            raise CannotRunError(f"the module {PYTHON[name]} is missing")
        else:
            command = [sys.executable, "-m", "bench.stream_worker", name, role]
        process = await WorkerProcess.start(command, url)
        stack.push_async_callback(process.stop)
        url = process.address or url
        processes.append(process)
    return Peer(*processes)


async def measure(url: str) -> dict[str, dict[str, Rate]]:
    """What each peer does, by what it is and by the peer's name."""
    rates: dict[str, dict[str, Rate]] = {}
    peers: dict[str, Peer] = {}
    with tempfile.TemporaryDirectory() as build:
        async with AsyncExitStack() as stack:
            for name in (*PYTHON, C.name):
                address = with_named_vhost(url) if name == C.name else url
                try:
                    peers[name] = await start(name, address, Path(build), stack)
                except CannotRunError as error:
                    print(f"left out: {name}: {error}", file=sys.stderr)
            for number in range(ROUNDS + 1):
                for size, count in ITEMS.items():
                    for name, peer in peers.items():
                        rate = await peer.measure({"items": count, "size": size}, count)
                        _note(rates, f"items of {size} bytes", name, rate, counts=number > 0)
                count = ITEMS[SMALLEST]
                rate = await peers["leveret"].measure({"calls": count}, count)
                _note(rates, "calls", "leveret", rate, counts=number > 0)
    return rates


def _note(
    rates: dict[str, dict[str, Rate]], what: str, name: str, rate: Rate, *, counts: bool
) -> None:
    if counts:
        found = rates.setdefault(what, {})
        found[name] = rate.best(found.get(name, rate))


def _processor_time(pid: int) -> float:
    """Seconds of processor time that a process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def as_json(rates: dict[str, dict[str, Rate]]) -> dict[str, Any]:
    """The figures, as one object."""
    return {
        what: {
            name: {"per_second": round(rate.by_time), "per_cpu_second": round(rate.by_processor)}
            for name, rate in found.items()
        }
        for what, found in rates.items()
    }


def show(rates: dict[str, dict[str, Rate]]) -> None:
    """Print a line for each figure."""
    for what, found in rates.items():
        print(what)
        for name, rate in found.items():
            print(
                f"  {name:10}{rate.by_time:>10,.0f} /s"
                f" {rate.by_processor:>10,.0f} per second of processor time"
            )


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(prog="python -m bench.streams", description=__doc__)
    parser.add_argument("url", nargs="?", help="of a RabbitMQ")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args()
    with rabbitmq_at(options.url) as url:
        rates = asyncio.run(measure(url))
    if options.json:
        print(json.dumps(as_json(rates)))
    else:
        show(rates)


if __name__ == "__main__":
    main()
