"""`python -m tests.simulation`: runs from seeds, on all cores; the last line is one of JSON.

A run has 1,000 calls and a seed, which is its number. Where one breaks a promise, its seed, what
was broken, and the shortest schedule of faults that shows it go to stderr, and the exit code is 1.
The same seed with as many calls is the same run, to the last byte: its check sum says so.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import secrets
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from math import inf
from multiprocessing.pool import AsyncResult, Pool
from pathlib import Path
from typing import Final

from tests.faults.judgement import Verdict
from tests.simulation.plan import VERBS
from tests.simulation.runs import Job, begin_process, complaints, do, repeats, shrink
from tests.simulation.system import Outcome

CALLS_PER_RUN: Final = 1000
_RUNS_PER_PROCESS: Final = 10
"""What is not collected after a run, some 15 MB, goes with its process."""
_TOLD_EVERY: Final = 20.0
"""Seconds between two lines about how far it is."""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class _Spent:
    """What the runs took of the processors, in seconds."""

    cpu = 0.0


def _jobs(options: argparse.Namespace, seed: int, spent: _Spent) -> Iterator[Job]:
    left: int = options.calls
    end = inf if options.seconds is None else time.monotonic() + options.seconds
    most = inf if options.cpu_seconds is None else options.cpu_seconds
    while left > 0 and time.monotonic() < end and spent.cpu < most:
        calls = min(left, options.per_run)
        yield Job(seed, calls, options.faults, options.trace, options.only)
        left -= calls
        seed += 1


def _seeds_of(path: Path) -> Iterable[Job]:
    """The collection of runs that once failed: a seed and a number of calls in each line,
    and a word where clients did not do all that they can."""
    for line in path.read_text().splitlines():
        text = line.partition("#")[0].split()
        if text:
            yield Job(int(text[0]), int(text[1]), only="".join(text[2:]))


def _main(options: argparse.Namespace) -> int:
    os.environ["PYTHONHASHSEED"] = "0"  # of the processes that run: sets of text have one order
    seed = secrets.randbelow(1_000_000_000) if options.seed is None else options.seed
    spent = _Spent()
    jobs = _seeds_of(options.collection) if options.collection else _jobs(options, seed, spent)
    total = Verdict()
    maybe = results = 0
    failed: list[Job] = []
    check = blake2b(digest_size=16)
    began = told = time.monotonic()
    # A ProcessPoolExecutor whose processes have a bounded number of tasks does not replace each of
    # them at once (https://github.com/python/cpython/issues/115634), so a core has nothing to do.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([do.__module__])  # a new process need not import it
    with context.Pool(options.jobs, begin_process, maxtasksperchild=_RUNS_PER_PROCESS) as pool:
        ahead = options.jobs if options.until_found else 4 * options.jobs
        for job, outcome in _results(pool, jobs, ahead):
            total.add(outcome.verdict)
            spent.cpu += outcome.cpu
            maybe += outcome.verdict.maybe
            results += outcome.verdict.results
            check.update(outcome.digest.encode())
            if not outcome.kept:
                failed.append(job)
                _say(f"seed {job.seed}: {outcome.verdict.counts()}")
                _say("\n".join(complaints(outcome)))
                _say(f"  repeat it: {repeats(job)}")
                if options.until_found:
                    break
            if time.monotonic() - told > _TOLD_EVERY:
                told = time.monotonic()
                _say(f"{total.calls} calls, {total.faults} faults, {len(failed)} seeds failed")
        else:
            if failed and not options.no_shrink:
                _say("\n".join(pool.apply(shrink, (failed[0],))))
    _say(
        f'{results} results, {maybe} "maybe", {dict(total.errors)}\n'
        f"{time.monotonic() - began:.0f} s, {spent.cpu:.1f} s of CPU; trace {check.hexdigest()}"
    )
    first = failed[0].seed if failed else seed
    allowed = dict(sorted(total.allowed.items()))
    print(json.dumps({**total.counts(), "allowed": allowed, "seed": first}), flush=True)
    return 1 if failed else 0


def _results(pool: Pool, jobs: Iterable[Job], ahead: int) -> Iterator[tuple[Job, Outcome]]:
    """The outcomes in order. Only so many runs are asked for at a time, as time may end them."""
    waiting: deque[AsyncResult[tuple[Job, Outcome]]] = deque()
    for job in jobs:
        waiting.append(pool.apply_async(do, (job,)))
        if len(waiting) >= ahead:
            yield waiting.popleft().get()
    while waiting:
        yield waiting.popleft().get()


def _numbers(text: str) -> tuple[int, ...]:
    return () if text == "none" else tuple(int(number) for number in text.split(","))


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    add = parser.add_argument
    add("--calls", type=int, help="how many; 1,000,000, or with a seed the 1,000 of one run")
    add("--seed", type=int, help="of the first run; the next ones follow it")
    add("--per-run", type=int, default=CALLS_PER_RUN, help="calls of a run; 1,000")
    add("--faults", type=_numbers, help='only these of the run, as "3,17", or "none"')
    add("--seconds", type=float, help="begin no run after so many")
    add("--cpu-seconds", type=float, help="begin no run after so many of the processor")
    add("--jobs", type=int, default=os.cpu_count(), help="processes; all cores")
    add("--trace", help="a file that gets each event of the run")
    add("--collection", type=Path, help="a file of seeds that once failed, to run them")
    add(
        "--only",
        choices=("calls", *VERBS),
        default="",
        help="what clients do: nothing but calls, or beside calls only this, and more of it",
    )
    add("--no-shrink", action="store_true", help="do not look for the shortest schedule")
    add("--until-found", action="store_true", help="end at the first broken promise")
    options = parser.parse_args()
    if options.calls is None:
        options.calls = 1_000_000 if options.seed is None else CALLS_PER_RUN
    return _main(options)


if __name__ == "__main__":
    sys.exit(main())
