"""RabbitMQ out of a Debian that is not installed, in the folder LEVERET_RABBITMQ_ROOT.

`scripts/rabbitmq4-chroot` makes such a folder, so that tests run with two versions of RabbitMQ on
one machine. A command in it shares this machine's network, processes and `/tmp`, under the same
names, and sees the rest of the file system from the folder on. It becomes the process that was
started, so signals reach it, and what is mounted for it goes when it ends. That takes root, or a
kernel that lets any user make namespaces (user_namespaces(7)).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from leveret.testing import RabbitMQUnavailable
from leveret.testing.rabbitmq.installed import THIS_MACHINE, Installation, Machine

__all__ = ["Chroot", "find_installation_in", "machine_here", "root_folder"]

_SHARED: Final = "/tmp"
"""The folder that has the same path and content inside and outside."""

# Erlang reads /proc for the memory there is; scripts need /dev/null. $0 is the folder.
_ENTER: Final = (
    'mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev" && '
    f'mount --bind {_SHARED} "$0{_SHARED}" && '
    'exec chroot "$0" sh -c \'cd "$HOME" && exec "$@"\' sh "$@"'
)


class Chroot(Machine):
    """A folder with a Linux of its own, in which RabbitMQ's programs run."""

    __slots__ = ("root",)

    parent_of_folders = _SHARED

    def __init__(self, root: Path) -> None:
        self.root = root

    def command(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` there, in HOME."""
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        enter = ["unshare", "--mount", *as_root, "sh", "-c", _ENTER]
        return [*enter, str(self.root), *command]

    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The environment without what names folders and locales of this machine."""
        return dict(environment) | {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "TMPDIR": _SHARED,
        }

    def path(self, path: Path) -> Path:
        """Where this process finds a path that the programs see."""
        return Path(self.root, *path.parts[1:])

    def find_program(self, name: str) -> str | None:
        """The name itself: Debian has all of RabbitMQ's programs in PATH."""
        return name

    def check(self) -> None:
        """Return if commands can run here.

        :raises RabbitMQUnavailable: if they cannot; the message says what to do.
        """
        environment = self.environment(os.environ) | {"HOME": "/"}
        try:
            done = subprocess.run(
                self.command(["true"]), env=environment, capture_output=True, text=True, check=False
            )
        except OSError as error:
            raise RabbitMQUnavailable(f"cannot run {error.filename}, of util-linux") from error
        if done.returncode:
            raise RabbitMQUnavailable(
                f"cannot run commands in {self.root}; that takes root, or a kernel where any user"
                f" may make namespaces: {done.stderr.strip()}"
            )


def root_folder() -> Path | None:
    """The folder that LEVERET_RABBITMQ_ROOT names; None if it is not set."""
    root = os.environ.get("LEVERET_RABBITMQ_ROOT")
    return Path(root).resolve() if root else None


def machine_here() -> Machine:
    """Where the RabbitMQ of this test run is: in LEVERET_RABBITMQ_ROOT, or on this machine."""
    root = root_folder()
    return Chroot(root) if root else THIS_MACHINE


def find_installation_in(root: Path) -> Installation:
    """The RabbitMQ in a folder.

    :raises RabbitMQUnavailable: if there is none, or none that can be run.
    """
    # Not by symlinks: absolute ones would lead back to this machine's files.
    found = sorted(root.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"))
    if not found:
        raise RabbitMQUnavailable(
            f"LEVERET_RABBITMQ_ROOT is {root}, and there is no RabbitMQ in it; make one with "
            f"scripts/rabbitmq4-chroot {root}, or unset the variable"
        )
    chroot = Chroot(root)
    chroot.check()
    return Installation(scripts=Path("/", found[-1].parent.relative_to(root)), machine=chroot)
