"""The list of mutants is true, and the command finds them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Final

import pytest

from tests.simulation.mutants import ROOT, SOURCE, Mutant, copy_with, kind_of, mutants, mutated


def _command(*arguments: str) -> tuple[int, list[str], dict[str, Any]]:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.simulation.mutants", "--jobs", "1", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout, ended.stderr
    *lines, last = ended.stdout.splitlines()
    return ended.returncode, lines, json.loads(last)


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.name)
def test_each_mutant_replaces_a_text_that_is_in_the_product_once(mutant: Mutant) -> None:
    text = (SOURCE / mutant.file).read_text()
    compile(mutated(text, mutant), mutant.file, "exec")
    assert mutated(text, mutant) != text


def test_there_are_thirty_mutants_and_each_has_a_name_of_its_own() -> None:
    names = [mutant.name for mutant in mutants()]
    assert len(names) >= 30
    assert len(set(names)) == len(names)


def test_a_text_that_is_not_there_once_is_an_error() -> None:
    mutant = Mutant(name="x", breaks="", file="x.py", before="a", after="b")
    with pytest.raises(ValueError, match="x.py has its text 2 times, not once"):
        mutated("aa", mutant)


def test_the_copy_has_the_slip_and_the_product_has_not() -> None:
    mutant = mutants()[0]
    before = (SOURCE / mutant.file).read_text()
    with copy_with(mutant) as folder:
        assert (folder / "leveret" / mutant.file).read_text() == mutated(before, mutant)
    assert (SOURCE / mutant.file).read_text() == before


def test_a_mutant_is_found_and_told_of() -> None:
    name = "client-keeps-deadlines-of-replied-calls"
    code, lines, last = _command("--only", name, "--calls", "60", "--seconds", "600")
    assert (code, last) == (0, {"mutants": 1, "found": 1, "missed": []}), lines
    assert lines[0].startswith(f"found  {name}: after 60 calls and ")


def test_a_mutant_that_is_missed_is_named_and_makes_the_command_fail() -> None:
    # Nothing waits for the socket of a run of one call.
    name = "writer-never-pauses"
    code, lines, last = _command("--only", name, "--calls", "0", "--seconds", "600")
    assert (code, last) == (1, {"mutants": 1, "found": 0, "missed": [name]}), lines
    assert lines[0].startswith(f"MISSED {name}: nothing in 0 calls")


_ONE: Final = "lost: 2f5 (plain, Work {'retry': Retry(attempts=4)}, 2.4 s of 25 s): Busy(a: full)"
_OTHER: Final = "lost: 3a (plain, Quorum {}, 9.123 s of 5 s): Busy(a: full)"
_DEADLINES: Final = "client-3 at 12.345: 3 deadlines for 2 calls"


def test_complaints_that_differ_in_calls_and_moments_only_are_of_one_kind() -> None:
    assert kind_of(_ONE) == kind_of(_OTHER) == "lost Busy a full"
    assert kind_of(_DEADLINES) == kind_of("client-17 at 2.345: 5 deadlines for 4 calls")
    assert kind_of(_ONE) != kind_of(_ONE.replace("full", "busy"))
