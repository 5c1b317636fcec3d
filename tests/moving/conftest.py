"""What the programs of before and after are told, and nameko in a folder of its own."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.moving.scenes import environment_of

_NAMEKO: Final = "nameko==2.14.1"
_PIP: Final = (sys.executable, "-m", "pip", "install", "--disable-pip-version-check")


@pytest.fixture
def environment(broker_url: str, tmp_path: Path) -> dict[str, str]:
    """Where broker and gRPC server are."""
    return environment_of(broker_url, tmp_path)


@pytest.fixture(scope="session")
def nameko(pytestconfig: pytest.Config) -> Path:
    """A folder with nameko and what it wants; installed once, and kept in pytest's cache.

    It brings eventlet, which is not among the packages of the other tests.
    """
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("nameko")
    ready = folder / f".ready-{_NAMEKO}"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the other pytest-xdist workers want it too
        if not ready.exists():
            done = subprocess.run(
                [*_PIP, "--quiet", "--no-compile", "--upgrade", "--target", str(folder), _NAMEKO],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                pytest.fail(f"pip cannot install nameko:\n{done.stdout}{done.stderr}", False)
            ready.touch()
    return folder
