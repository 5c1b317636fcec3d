"""What 100 MB cost as arrays and tables, beside the same as raw bytes.

    python -m bench.tables [URL]

The server is a process of its own. A round sends each kind once to a method that takes it, and has
each once from one that gives it; every figure is the median of the rounds, in seconds of wall time.
Memory is what the client's peak (VmHWM, of Linux) is above what it had before the call, in a
process of its own for each kind. RabbitMQ is the one that LEVERET_URL or `URL` names, or one that
is started; RabbitMQ 4 takes such messages only if its `max_message_size` allows it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

import leveret
from bench.broker import broker_version, one_rabbitmq
from leveret import Rabbit, Service, method

SIZE = 100_000_000
COLUMNS = 10
ROUNDS = 3
MOST = SIZE + 2**20
"""Bytes of the largest message."""

KINDS = ("bytes", "MessagePack", "ndarray", "Table", "DataFrame")
"""Raw bytes first: all else is compared with them."""


class Bulk(Service, name="bench_bulk"):
    """Takes and gives 100 MB in each form."""

    def __init__(self) -> None:
        self._made = {kind: make(kind) for kind in KINDS}

    @method(timeout=60, content_type="application/octet-stream", expires=60)
    async def take_bytes(self, data: bytes) -> None: ...

    @method(timeout=60, content_type="application/octet-stream", expires=60)
    async def give_bytes(self, data: bytes) -> bytes:
        return self._made["bytes"]  # type: ignore[no-any-return]

    @method(timeout=60, content_type="application/msgpack", expires=60)
    async def take_packed(self, data: bytes) -> None: ...

    @method(timeout=60, content_type="application/msgpack", expires=60)
    async def give_packed(self) -> bytes:
        return self._made["bytes"]  # type: ignore[no-any-return]

    @method(timeout=60, expires=60)
    async def take_array(self, data: npt.NDArray[np.float64]) -> None: ...

    @method(timeout=60, expires=60)
    async def give_array(self) -> npt.NDArray[np.float64]:
        return self._made["ndarray"]  # type: ignore[no-any-return]

    @method(timeout=60, expires=60)
    async def take_table(self, data: pa.Table) -> None: ...

    @method(timeout=60, expires=60)
    async def give_table(self) -> pa.Table:
        return self._made["Table"]

    @method(timeout=60, expires=60)
    async def take_frame(self, data: pd.DataFrame) -> None: ...

    @method(timeout=60, expires=60)
    async def give_frame(self) -> pd.DataFrame:
        return self._made["DataFrame"]


def make(kind: str) -> Any:
    """100 MB: as float64 in ten columns, where there are columns."""
    numbers = np.random.default_rng(1).random(SIZE // 8)
    if kind in {"bytes", "MessagePack"}:
        return numbers.tobytes()
    if kind == "ndarray":
        return numbers
    rows = numbers.reshape(COLUMNS, -1)
    if kind == "Table":
        return pa.table({f"c{number}": row for number, row in enumerate(rows)})
    return pd.DataFrame({f"c{number}": row for number, row in enumerate(rows)})


def ways(rabbit: Rabbit, kind: str) -> tuple[Callable[[Any], Awaitable[Any]], ...]:
    """How one kind is sent, and how it is had."""
    bulk = rabbit.remote(Bulk)
    found: dict[str, tuple[Callable[[Any], Awaitable[Any]], ...]] = {
        "bytes": (bulk.take_bytes, lambda _: bulk.give_bytes(b"")),
        "MessagePack": (bulk.take_packed, lambda _: bulk.give_packed()),
        "ndarray": (bulk.take_array, lambda _: bulk.give_array()),
        "Table": (bulk.take_table, lambda _: bulk.give_table()),
        "DataFrame": (bulk.take_frame, lambda _: bulk.give_frame()),
    }
    return found[kind]


async def measure(url: str) -> dict[str, list[float]]:
    """The seconds that each kind takes to be sent and to be had."""
    async with leveret.connect(url, max_message_size=MOST) as rabbit:
        taken: dict[str, list[list[float]]] = {kind: [[], []] for kind in KINDS}
        values = {kind: make(kind) for kind in KINDS}
        for number in range(ROUNDS + 1):
            for kind, value in values.items():
                for way, seconds in zip(ways(rabbit, kind), taken[kind], strict=True):
                    before = perf_counter()
                    await way(value)
                    if number:  # the first round warms up
                        seconds.append(perf_counter() - before)
    return {kind: [median(seconds) for seconds in both] for kind, both in taken.items()}


async def peaks(url: str, kind: str) -> list[float]:
    """The megabytes by which sending one kind, and then having it, raise the peak of memory."""
    found = []
    async with leveret.connect(url, max_message_size=MOST) as rabbit:
        value = make(kind)
        for way in ways(rabbit, kind):
            before = _reset_peak()
            await way(value)
            found.append((_status("VmHWM") - before) / 1000)
    return found


def _reset_peak() -> int:
    """Have the peak counted anew, as proc(5) says; returns kilobytes that are in use now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise LookupError(name)


def serve(url: str, ready: Any) -> None:
    """Serve until this process is ended."""

    async def main() -> None:
        async with leveret.connect(url, max_message_size=MOST) as rabbit, rabbit.serving(Bulk()):
            ready.set()
            await asyncio.Event().wait()

    leveret.run(main())


def peaks_of(url: str, kind: str, found: Any) -> None:
    """`peaks` in a process of its own."""
    found.put(leveret.run(peaks(url, kind)))


def main(url: str) -> None:
    """Measure, and print a table."""
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Event()
    server = spawn.Process(target=serve, args=(url, ready), daemon=True)
    server.start()
    ready.wait()
    try:
        seconds = leveret.run(measure(url))
        memory = {}
        for kind in KINDS:
            found = spawn.Queue()
            process = spawn.Process(target=peaks_of, args=(url, kind, found))
            process.start()
            memory[kind] = found.get()
            process.join()
    finally:
        server.terminate()
        server.join()
    print(f"{SIZE // 10**6} MB, {broker_version(url)}, median of {ROUNDS} rounds\n")
    print("| | sent | to bytes | received | to bytes | memory: sent, received |")
    print("|---|---|---|---|---|---|")
    for kind in KINDS:
        (sent, had), (base_sent, base_had) = seconds[kind], seconds["bytes"]
        one, other = memory[kind]
        print(
            f"| {kind} | {sent:.2f} s | {sent / base_sent:.2f} | {had:.2f} s |"
            f" {had / base_had:.2f} | {one:.0f} MB, {other:.0f} MB |"
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with one_rabbitmq() as started:
            main(started)
