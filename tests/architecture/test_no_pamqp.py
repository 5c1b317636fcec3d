"""pamqp is the tests' independent reading of AMQP: Leveret itself must not use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).parents[2] / "src"

PROGRAM = """
import importlib, pkgutil, sys

sys.modules["pamqp"] = None  # importing it fails
import leveret

for module in pkgutil.walk_packages(leveret.__path__, "leveret."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(len(sys.modules))
"""


def test_leveret_and_all_its_modules_import_without_pamqp() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


def test_no_source_file_names_it() -> None:
    files = list(SRC.rglob("*.py"))
    assert files
    assert [str(file) for file in files if "pamqp" in file.read_text()] == []
