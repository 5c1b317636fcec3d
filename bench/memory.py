"""What Leveret costs in memory, and to import.

A process's memory is its resident set (RSS), read from outside, so the reading costs it nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter

from .peer import ROOT
from .process import WorkerFailedError, WorkerProcess, resident_bytes

PENDING = 10_000
WARM_UP_CALLS = 50_000
PATIENCE = 900.0
"""Seconds for a command: a million calls take a slow machine several minutes."""
IMPORT_RUNS = 9

PENDING_GOAL = 4 * 1024
IMPORT_GOAL_MS = 150.0
IDLE_GOAL = 45 * 1024 * 1024
GROWTH_GOAL = 2 * 1024 * 1024
"""Bytes that count as no growth: 2 bytes a call are the allocator's, not a leak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """All figures of one `--memory` run."""

    idle_client_bytes: int
    """RSS of a connected client that has made no call yet."""
    pending: int
    """Calls that waited at once for the two figures below."""
    pending_client_bytes: float
    """What one pending call adds to the client, its task included."""
    pending_server_bytes: float
    """What one call that waits in a handler adds to the server."""
    calls: int
    """Calls made between the two readings of the figures below."""
    growth_client_bytes: int
    growth_server_bytes: int
    late_growth_client_bytes: int
    """The part that came in the second half of the calls: a leak goes on, a full table does not."""
    late_growth_server_bytes: int
    import_ms: float
    """`import leveret` in a fresh process, without the start of Python itself."""

    def report(self) -> str:
        """The figures and how they stand to the goals, one a line."""
        client, server = self.growth_client_bytes, self.growth_server_bytes
        return "\n".join(
            (
                _row(
                    f"a pending call, its task included ({self.pending:,} at once)",
                    f"{self.pending_client_bytes:,.0f} B",
                    f"<= {PENDING_GOAL:,} B",
                    self.pending_client_bytes <= PENDING_GOAL,
                ),
                _row("a call waiting in a handler", f"{self.pending_server_bytes:,.0f} B"),
                _row(
                    f"growth over {self.calls:,} calls, client / server",
                    f"{client / 1024:,.0f} / {server / 1024:,.0f} KB",
                    "none",
                    max(client, server) <= GROWTH_GOAL,
                ),
                _row(
                    "  of it in the second half, client / server",
                    f"{self.late_growth_client_bytes / 1024:,.0f} / "
                    f"{self.late_growth_server_bytes / 1024:,.0f} KB",
                ),
                _row(
                    "import leveret",
                    f"{self.import_ms:.0f} ms",
                    f"<= {IMPORT_GOAL_MS:.0f} ms",
                    self.import_ms <= IMPORT_GOAL_MS,
                ),
                _row(
                    "RSS of an idle connected client",
                    f"{self.idle_client_bytes / 2**20:.1f} MB",
                    f"<= {IDLE_GOAL // 2**20} MB",
                    self.idle_client_bytes <= IDLE_GOAL,
                ),
            )
        )

    def to_json(self) -> dict[str, float]:
        """The figures by name."""
        return asdict(self)


async def measure_memory(url: str, calls: int) -> Memory:
    """Measure all of it, with `calls` calls for the growth.

    :raises WorkerFailedError: when a process fails.
    """
    import_ms = import_time_ms()
    pending_client, pending_server = await _pending_cost(url)
    async with _pair(url) as (server, client):
        idle = resident_bytes(client.pid)
        readings = []
        for part in (WARM_UP_CALLS, calls // 2, calls - calls // 2):
            await client.ask({"calls": part}, PATIENCE)
            readings.append([resident_bytes(worker.pid) for worker in (client, server)])
        before, halfway, after = readings
    return Memory(
        idle_client_bytes=idle,
        pending=PENDING,
        pending_client_bytes=pending_client,
        pending_server_bytes=pending_server,
        calls=calls,
        growth_client_bytes=after[0] - before[0],
        growth_server_bytes=after[1] - before[1],
        late_growth_client_bytes=after[0] - halfway[0],
        late_growth_server_bytes=after[1] - halfway[1],
        import_ms=import_ms,
    )


async def _pending_cost(url: str) -> tuple[float, float]:
    """Bytes per pending call at the client and at the server, in processes fresh for it."""
    async with _pair(url) as (server, client):
        await client.ask({"calls": 100}, PATIENCE)
        before = [resident_bytes(worker.pid) for worker in (client, server)]
        await client.ask({"pending": PENDING}, PATIENCE)
        after = [resident_bytes(worker.pid) for worker in (client, server)]
        await client.ask({"release": True}, PATIENCE)
    client_cost, server_cost = (
        (late - early) / PENDING for early, late in zip(before, after, strict=True)
    )
    return client_cost, server_cost


@asynccontextmanager
async def _pair(url: str) -> AsyncIterator[tuple[WorkerProcess, WorkerProcess]]:
    """A server and a client of `bench.memory_worker`."""
    command = [sys.executable, "-m", "bench.memory_worker"]
    server = await WorkerProcess.start([*command, "server"], url)
    try:
        client = await WorkerProcess.start([*command, "client"], url)
        try:
            yield server, client
        finally:
            await client.stop()
    finally:
        await server.stop()


def import_time_ms() -> float:
    """Milliseconds that `import leveret` adds to a Python process, the median of several.

    :raises WorkerFailedError: when it cannot be imported.
    """
    _python("import leveret")  # not counted: it may compile
    added = [_python("import leveret") - _python("pass") for _ in range(IMPORT_RUNS)]
    return median(added) * 1e3


def _python(code: str) -> float:
    # As installed software runs: with its bytecode cached.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    start = perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise WorkerFailedError((done.stderr.strip().splitlines() or ["no message"])[-1])
    return perf_counter() - start


def _row(what: str, figure: str, goal: str = "", met: bool = True) -> str:
    verdict = f"  (goal: {goal}) {'met' if met else 'MISSED'}" if goal else ""
    return f"  {what:<56}{figure:>16}{verdict}"
