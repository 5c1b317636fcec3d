"""Runs the commands of a check, and says which one failed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]


class Failed(RuntimeError):
    """A release does not pass."""


def run(*words: str | Path, cwd: Path = ROOT, **environment: str) -> None:
    """Run a command to its end, its output where ours goes.

    :param environment: variables beside those of this process.
    :raises Failed: it exits with another code than 0.
    """
    command = [str(word) for word in words]
    print(f"release: {shlex.join(command)}", flush=True)
    done = subprocess.run(command, cwd=cwd, env=os.environ | environment, check=False)
    if done.returncode:
        raise Failed(f"{shlex.join(command)} exits with {done.returncode}")


def tool(name: str) -> Path:
    """The script of an installed tool."""
    return Path(sys.executable).parent / name


def output(*words: str | Path, cwd: Path = ROOT) -> str:
    """What a command prints; "" if it fails."""
    command = [str(word) for word in words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
