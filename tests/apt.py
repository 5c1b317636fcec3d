"""Installs Debian packages for tests, without letting them start their services."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["AptFailed", "apt_command", "install"]

_POLICY: Final = Path("/usr/sbin/policy-rc.d")
_NO_SERVICE: Final = (
    "#!/bin/sh\n# Leveret's tests: install a package without starting its service.\nexit 101\n"
)
_LOCK_TIMEOUT: Final = 300
"""Seconds that apt waits for another apt to end."""


class AptFailed(Exception):
    """apt could not install packages; the message ends with what apt printed."""


def apt_command() -> list[str] | None:
    """The command by which this user runs apt-get without a password; None where it cannot."""
    apt = shutil.which("apt-get")
    if apt is None:
        return None
    if os.geteuid() == 0:
        return [apt]
    sudo = shutil.which("sudo")
    if (
        sudo
        and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0
    ):
        return [sudo, "-n", "DEBIAN_FRONTEND=noninteractive", apt]
    return None


def install(apt: list[str], *packages: str) -> None:
    """Install packages, and do not let them start their services.

    :param apt: as `apt_command` returned it.
    :raises AptFailed: if apt could not.
    """
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with _services_held_back(apt[:-1]):
        for args in (
            ["update", "-qq"],
            ["install", "--yes", "-qq", "--no-install-recommends", *packages],
        ):
            done = subprocess.run(
                [*apt, "-o", f"DPkg::Lock::Timeout={_LOCK_TIMEOUT}", *args],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
    if done.returncode:
        raise AptFailed(
            f"apt could not install {' '.join(packages)} (exit code {done.returncode}):\n"
            f"{(done.stdout + done.stderr)[-2000:]}"
        )


@contextmanager
def _services_held_back(as_root: list[str]) -> Iterator[None]:
    """Forbid packages to start services (Debian's `policy-rc.d`, invoke-rc.d(8))."""
    if _POLICY.exists():  # the machine has a policy of its own, which stays
        yield
        return
    as_root = [word for word in as_root if "=" not in word]
    write = f"cat > {_POLICY} && chmod 755 {_POLICY}"
    subprocess.run([*as_root, "sh", "-c", write], input=_NO_SERVICE, text=True, check=True)
    try:
        yield
    finally:
        subprocess.run([*as_root, "rm", "-f", str(_POLICY)], check=True)
