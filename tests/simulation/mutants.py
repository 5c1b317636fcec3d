"""`python -m tests.simulation.mutants`: breaks the product on purpose; the simulator must notice.

Each mutant of `mutants.toml` is one slip, in a copy of `src/leveret` of its own. The simulator
runs that copy, seed after seed, until a promise is broken that the product as it is keeps on the
same seeds. A line for each mutant says after how many calls and seconds of the processor that was,
and what was broken; the last line is one of JSON. The exit code is 1 if a mutant was not found in
time.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SOURCE: Final = ROOT / "src" / "leveret"
LIMIT: Final = 120.0
"""Seconds of the processor in which a mutant is to be found, however busy the machine is."""
_KILLED_AFTER: Final = 600.0
"""Seconds after many times the limit that the last run has to end: a mutant may turn round for
ever."""
_BUSY: Final = 10.0
"""How many times longer than by the processor's clock a search may take."""
_SEED: Final = 1
_CALLS_PER_RUN: Final = 400
"""Many short runs find more than few long ones, as each has its own end."""
_KNOWN_RUNS: Final = 10
"""Runs of the product as it is, at least, whose broken promises find no mutant."""
_WORDS: Final = 12
"""Words of a complaint that tell its kind."""

_CPU = re.compile(r" ([0-9.]+) s of CPU;")
_FAILED = re.compile(r"^seed (\d+): ")
_OF_A_CALL = re.compile(r"\s*(?P<promise>\w+): .*?(?: s|no end)\): (?P<end>.*)")
"""A complaint of a call: which promise, what call it was (in parentheses), and how it ended."""
_NAME_OF_ONE = re.compile(r"\S*\d\S*|\(\S*\d.*")
"""What tells one call, process or moment from another; and the diary of a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One slip."""

    name: str
    breaks: str
    """What users see of it."""
    file: str
    """Below `src/leveret`."""
    before: str
    """What is in the file once."""
    after: str
    """What a careless hand makes of it."""
    only: str = ""
    """What clients do in its runs, as for `plan.plan`: it is seldom met by all that they can."""


def mutants() -> list[Mutant]:
    """All of them."""
    text = Path(__file__).with_suffix(".toml").read_text()
    return [Mutant(**entry) for entry in tomllib.loads(text)["mutant"]]


@dataclass(frozen=True, slots=True)
class Failure:
    """The first run in which a promise was broken, if there was one."""

    seed: int
    """The last one that was run."""
    complaints: tuple[str, ...] = ()
    cpu: float = 0.0
    """Seconds that the runs took of the processor."""

    @property
    def kinds(self) -> dict[str, str]:
        """The complaints, by what they say without the names of calls and moments."""
        return {kind_of(complaint): complaint for complaint in self.complaints}


@dataclass(slots=True)
class Found:
    """What came of one mutant."""

    mutant: Mutant
    calls: int = 0
    seconds: float = 0.0
    complaint: str = ""
    """What was broken; "" if nothing was."""

    def __str__(self) -> str:
        name, calls, seconds = self.mutant.name, self.calls, f"{self.seconds:.0f} s"
        if not self.complaint:
            return f"MISSED {name}: nothing in {calls} calls and {seconds}"
        return f"found  {name}: after {calls} calls and {seconds}: {self.complaint[:160]}"


def kind_of(complaint: str) -> str:
    """What is broken, without what is this call's only."""
    of_a_call = _OF_A_CALL.match(complaint)
    if of_a_call is not None:
        complaint = f"{of_a_call['promise']} {of_a_call['end']}"
    words = re.findall(r"[A-Za-z_]+", _NAME_OF_ONE.sub(" ", complaint))
    return " ".join(words[:_WORDS])


def mutated(text: str, mutant: Mutant) -> str:
    """The text of a mutant's file with its slip.

    :raises ValueError: if what it replaces is not there exactly once.
    """
    times = text.count(mutant.before)
    if times != 1:
        raise ValueError(f"{mutant.name}: {mutant.file} has its text {times} times, not once")
    return text.replace(mutant.before, mutant.after)


@contextmanager
def copy_with(mutant: Mutant | None) -> Iterator[Path]:
    """A folder to import `leveret` from: a copy of the product, with a slip or as it is."""
    with tempfile.TemporaryDirectory(prefix="leveret-mutant-") as folder:
        copy = Path(folder) / "leveret"
        shutil.copytree(SOURCE, copy)
        if mutant is not None:
            file = copy / mutant.file
            file.write_text(mutated(file.read_text(), mutant))
        yield Path(folder)


def _python(folder: Path, *arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


def _check_imported(folder: Path) -> None:
    """:raises RuntimeError: if not the copy would run but something else."""
    said = _python(folder, "-c", "import leveret; print(leveret.__file__)", timeout=60)
    if not said.stdout.startswith(str(folder)):
        raise RuntimeError(f"not the copy is imported but {said.stdout or said.stderr}")


def _first_failure(folder: Path, seed: int, calls: int, seconds: float, only: str) -> Failure:
    """Run seeds from this one on until one breaks a promise."""
    try:
        ended = _python(
            folder, "-m", "tests.simulation", "--jobs", "1", "--until-found", "--no-shrink",
            "--seed", str(seed), "--calls", str(calls), "--cpu-seconds", str(seconds),
            "--per-run", str(_CALLS_PER_RUN), *(("--only", only) if only else ()),
            timeout=seconds * _BUSY + _KILLED_AFTER,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Failure(seed, ("hung: the run does not end",), seconds)
    if ended.returncode not in (0, 1) or not ended.stdout:
        return Failure(seed, (f"broken: the run itself fails: {ended.stderr.strip()[-300:]}",))
    runs = -(-json.loads(ended.stdout.splitlines()[-1])["calls"] // _CALLS_PER_RUN)
    failed = seed + runs - 1
    complaints: list[str] = []
    for line in ended.stderr.splitlines():
        if begin := _FAILED.match(line):
            failed = int(begin[1])
        elif ended.returncode == 1 and line.startswith("  ") and "repeat it:" not in line:
            complaints.append(line.strip())
    took = _CPU.search(ended.stderr)
    return Failure(failed, tuple(complaints), 0.0 if took is None else float(took[1]))


@dataclass(slots=True)
class Known:
    """What the product as it is breaks by itself, on the seeds that mutants have run."""

    seed: int
    calls: int
    """Of a run."""
    only: str = ""
    """What clients do in them."""
    kinds: set[str] = field(default_factory=set)
    _next: int = 0
    _lock: Lock = field(default_factory=Lock)

    def up_to(self, seed: int) -> set[str]:
        """The kinds of broken promises on all seeds up to this one."""
        with self._lock, copy_with(None) as folder:
            at = max(self._next, self.seed)
            while at <= seed:
                calls = (seed - at + 1) * self.calls
                failure = _first_failure(folder, at, calls, 10 * LIMIT, self.only)
                self.kinds |= failure.kinds.keys()
                at = failure.seed + 1
            self._next = max(self._next, seed + 1)
        return self.kinds


def find(mutant: Mutant, known: Known, *, calls: int, limit: float) -> Found:
    """Run a mutant until it is found, or for too long.

    :param calls: at most.
    """
    found = Found(mutant)
    seed = known.seed
    runs = -(-calls // known.calls)
    with copy_with(mutant) as folder:
        _check_imported(folder)
        while found.seconds < limit and seed < known.seed + runs:
            left = calls - (seed - known.seed) * known.calls
            failure = _first_failure(folder, seed, left, limit - found.seconds, known.only)
            found.seconds += failure.cpu
            seed = failure.seed + 1
            found.calls = (seed - known.seed) * known.calls
            news = failure.kinds.keys() - known.up_to(
                max(failure.seed, known.seed + min(runs, _KNOWN_RUNS) - 1)
            )
            if news:
                found.complaint = failure.kinds[min(news)]
                break
    return found


def _main(options: argparse.Namespace) -> int:
    by_name = {mutant.name: mutant for mutant in mutants()}
    if unknown := set(options.only) - by_name.keys():
        raise SystemExit(f"there is no such mutant: {', '.join(sorted(unknown))}")
    chosen = [by_name[name] for name in options.only or by_name]
    for mutant in chosen:
        mutated((SOURCE / mutant.file).read_text(), mutant)
    calls = max(1, min(options.calls, _CALLS_PER_RUN))
    known = {only: Known(options.seed, calls, only) for only in {it.only for it in chosen}}
    missed = []
    with ThreadPoolExecutor(options.jobs) as pool:
        searches = [
            pool.submit(
                find, mutant, known[mutant.only], calls=options.calls, limit=options.seconds
            )
            for mutant in chosen
        ]
        for search in as_completed(searches):
            found = search.result()
            print(found, flush=True)
            if not found.complaint:
                missed.append(found.mutant.name)
    print(
        json.dumps({"mutants": len(chosen), "found": len(chosen) - len(missed), "missed": missed})
    )
    return 1 if missed else 0


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    add = parser.add_argument
    add(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="this mutant; may be given several times",
    )
    add("--jobs", type=int, default=os.cpu_count(), help="mutants at a time; as many as cores")
    add("--seed", type=int, default=_SEED, help="of the first run of each")
    add("--calls", type=int, default=1_000_000, help="that a mutant may take")
    add("--seconds", type=float, default=LIMIT, help="of the processor that a mutant may take")
    return _main(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
