"""Finds the programs of Redis and PostgreSQL, or installs Debian's packages of them."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests import apt


def find_or_install(program: str, *, package: str, folders: str = "/usr/sbin") -> str:
    """The path of a program: in PATH, or in the last of the folders that match.

    Fails, and says what to do, where it is missing and cannot be installed.
    """
    found = _find(program, folders)
    if not found:
        _install(package)
        found = _find(program, folders)
    assert found, f"{package} is installed, but there is no {program} in PATH or in {folders}"
    return found


def _find(program: str, folders: str) -> str | None:
    places = sorted(Path("/").glob(f"{folders[1:]}/{program}"))
    return str(places[-1]) if places else shutil.which(program)


def _install(package: str) -> None:
    command = apt.apt_command()
    assert command is not None, (
        f"these tests need {package}, which is not installed, and this user cannot run apt-get"
        f" without a password; install it: sudo apt-get install {package}"
    )
    apt.install(command, package)
