"""Some seconds of fuzzing that coverage guides, where there is a wheel of atheris.

There is one for CPython on Linux on x86-64. `make fuzz MINUTES=60` runs it for longer.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from tests.fuzz.decoders import DECODERS
from tests.fuzz.seeds import SEEDS
from tests.fuzz.whole import WHOLE

ROOT = Path(__file__).parents[2]


def test_every_check_has_seeds_to_start_from() -> None:
    assert SEEDS.keys() == DECODERS.keys() | WHOLE.keys()
    assert all(SEEDS.values())


if importlib.util.find_spec("atheris") is not None:

    def test_some_seconds_of_it_find_only_what_is_planted_and_tell_and_keep_that(
        tmp_path: Path,
    ) -> None:
        # In one run: atheris takes 20 s of processor time to prepare all of Leveret.
        run = _fuzz("all", "planted", "-runs=300", cwd=tmp_path)
        assert run.returncode == 1
        assert ": found planted\n" in run.stdout, run.stdout + run.stderr
        assert "this is planted" in run.stdout + run.stderr
        assert list(tmp_path.glob("build/fuzz/planted-crash-*"))


def _fuzz(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT), str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz.atheris_run", *args],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=150,
        check=False,
    )
