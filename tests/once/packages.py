"""Finds the programs of Redis and PostgreSQL, or installs Debian's packages of them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from leveret.testing.installed import apt_command

_POLICY: Final = Path("/usr/sbin/policy-rc.d")


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
    apt = apt_command()
    assert apt is not None, (
        f"these tests need {package}, which is not installed, and this user cannot run apt-get"
        f" without a password; install it: sudo apt-get install {package}"
    )
    patient = "DPkg::Lock::Timeout=300"
    with _services_held_back(apt[:-1]):
        for args in (
            ["update", "-qq"],
            ["install", "-y", "-qq", "--no-install-recommends", package],
        ):
            done = subprocess.run(
                [*apt, "-o", patient, *args],
                env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
                capture_output=True,
                text=True,
                check=False,
            )
    assert done.returncode == 0, (
        f"these tests need {package}, and apt-get could not install it:\n"
        f"{(done.stdout + done.stderr)[-2000:]}"
    )


@contextmanager
def _services_held_back(as_root: list[str]) -> Iterator[None]:
    """While inside, packages start no services (Debian's `policy-rc.d`, invoke-rc.d(8))."""
    if _POLICY.exists():  # the machine has its own policy: not ours to change
        yield
        return
    sudo = [word for word in as_root if "=" not in word]
    write = f"printf '#!/bin/sh\\nexit 101\\n' > {_POLICY} && chmod 755 {_POLICY}"
    subprocess.run([*sudo, "sh", "-c", write], check=True)
    try:
        yield
    finally:
        subprocess.run([*sudo, "rm", "-f", str(_POLICY)], check=True)
