"""Runs from seeds, through the command that people use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.faults.judgement import Verdict

_ROOT: Final = Path(__file__).parents[2]
_SEEDS: Final = Path(__file__).with_name("seeds.txt")
_FRESH_BEGIN: Final = 20.0
"""Seconds in which fresh runs begin: a busy machine makes fewer of them."""


def simulate(*arguments: str, hash_seed: str = "random") -> tuple[int, str, dict[str, Any]]:
    """The exit code, what it said, and its last line."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--jobs", "1", *arguments],
        cwd=_ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout, ended.stderr
    return ended.returncode, ended.stderr, json.loads(ended.stdout.splitlines()[-1])


def test_two_runs_of_a_seed_are_the_same_to_the_last_byte(tmp_path: Path) -> None:
    traces = []
    for name in ("1", "2"):
        trace = tmp_path / name
        code, said, _ = simulate(
            "--seed", "5", "--calls", "300", "--trace", str(trace), hash_seed=name
        )
        assert code == 0, said
        traces.append((trace.read_bytes(), said.rpartition("trace ")[2]))
    assert traces[0] == traces[1]
    assert traces[0][0].count(b"fault") > 10


@pytest.mark.slow
@pytest.mark.timeout(600)  # 10 s of processor time, and a busy machine
def test_the_seeds_that_once_failed_keep_all_promises() -> None:
    code, said, line = simulate("--collection", str(_SEEDS), "--no-shrink")
    assert code == 0, said
    assert list(line) == [*Verdict().counts(), "allowed", "seed"]
    assert line["calls"] >= 1000


def test_some_fresh_seeds_keep_all_promises() -> None:
    """A seed that fails has found something: put it into the collection."""
    code, said, _ = simulate("--calls", "3000", "--seconds", str(_FRESH_BEGIN), "--no-shrink")
    assert code == 0, said


@pytest.mark.parametrize("arguments", [("--faults", "none"), ("--faults", "0,1")])
def test_a_run_may_have_only_some_of_its_faults(arguments: tuple[str, ...]) -> None:
    code, said, line = simulate("--seed", "5", "--calls", "100", *arguments)
    assert code == 0, said
    assert line["faults"] == (0 if "none" in arguments else 2)
