"""Runs, in processes of their own: what a process of the pool does."""

from __future__ import annotations

import gc
import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.simulation.plan import plan
from tests.simulation.shrinking import shrunk
from tests.simulation.system import Outcome, run

_SHOWN: Final = 12
_COLLECTED_EVERY: Final = 8
"""The garbage of one of so many runs is collected, which takes as long as some hundred calls."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run."""

    seed: int
    calls: int
    faults: tuple[int, ...] | None = None
    """The numbers of the faults that it has; None for all."""
    trace: str | None = None
    """The file that gets its trace."""
    only: str = ""
    """What clients do, as for `plan`."""


def begin_process() -> None:
    """Log nothing: a million calls under faults fill any log."""
    gc.collect()
    gc.freeze()  # what is imported need not be looked through after each run
    gc.disable()
    logging.getLogger("leveret").propagate = False
    logging.getLogger("leveret").addHandler(logging.NullHandler())
    logging.getLogger("leveret").setLevel(logging.ERROR)
    logging.getLogger("asyncio").disabled = True


def do(job: Job) -> tuple[Job, Outcome]:
    """Run it, in a process of the pool."""
    began = time.process_time()
    outcome = _run(job)
    outcome.cpu = time.process_time() - began
    return job, outcome


def _run(job: Job) -> Outcome:
    planned = plan(job.seed, job.calls, only=job.only)
    if job.faults is not None:
        chosen = tuple(fault for fault in planned.faults if fault.number in job.faults)
        planned = replace(planned, faults=chosen)
    collects = job.seed % _COLLECTED_EVERY == 0
    if job.trace is None:
        return run(planned, collects=collects)
    with Path(job.trace).open("w") as file:
        return run(planned, file, collects=collects)


def repeats(job: Job) -> str:
    """The command that repeats a run."""
    only = f" ONLY={job.only}" if job.only else ""
    return f"make simulate SEED={job.seed} CALLS={job.calls}{only}"


def shrink(job: Job) -> list[str]:
    """The shortest schedule that fails in the same way, in words."""
    planned = plan(job.seed, job.calls, only=job.only)
    kinds = run(planned).kinds
    shortest = shrunk(planned, lambda fewer: bool(run(fewer).kinds & kinds))
    outcome = run(shortest)
    numbers = ",".join(str(fault.number) for fault in shortest.faults)
    command = f"{repeats(job)} FAULTS={numbers or 'none'}"
    return [
        f"the shortest schedule that shows it has {len(shortest.faults)} faults ({command}):",
        *(f"  {fault}" for fault in shortest.faults),
        *complaints(outcome),
    ]


def complaints(outcome: Outcome) -> list[str]:
    """What was broken, in words."""
    return [f"  {text}" for text in (*outcome.verdict.complaints, *outcome.broken)[:_SHOWN]]
