"""Holds `api.py` against mypy and pyright: right uses pass, wrong uses are errors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

API = Path(__file__).with_name("api.py")
ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"


def check(*command: str) -> str:
    """Run a type checker on the library's sources, and fail with what it says; returns that."""
    environment = {
        **os.environ,
        "MYPYPATH": str(SOURCE),
        # Otherwise pyright's wrapper asks the package index whether there is a newer one.
        "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command[0]} found:\n{done.stdout}{done.stderr}"
    return done.stdout


def test_mypy_sees_the_contracts_types_in_strict_mode() -> None:
    # With the settings of `make lint`, which are strict, mypy finds its cache of Leveret's sources.
    version = ".".join(map(str, sys.version_info[:2]))
    check(
        "mypy", f"--config-file={ROOT / 'pyproject.toml'}", f"--python-version={version}", str(API)
    )


def test_pyright_sees_the_contracts_types_in_strict_mode(tmp_path: Path) -> None:
    # basedpyright is pyright with a node of its own; pyright's package may have to fetch one.
    checker = "basedpyright" if find_spec("basedpyright") else "pyright"
    # A copy, as pyright passes over what is included by an absolute path.
    shutil.copy(API, tmp_path)
    settings = tmp_path / "pyrightconfig.json"
    settings.write_text(
        json.dumps(
            {
                "include": [API.name],
                "extraPaths": [str(SOURCE)],
                "typeCheckingMode": "strict",
                "enableTypeIgnoreComments": True,
                "reportUnnecessaryTypeIgnoreComment": True,
            }
        )
    )
    said = check(checker, "--outputjson", f"--project={settings}", f"--pythonpath={sys.executable}")
    assert json.loads(said)["summary"]["filesAnalyzed"] == 1
