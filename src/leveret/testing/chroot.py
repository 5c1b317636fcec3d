"""Commands in another Linux's folder: how RabbitMQ runs out of a Debian that is not installed.

The command shares this machine's network, processes and `/tmp`, under the same names, and sees the
rest of the file system from the folder on. It becomes the process that was started, so signals
reach it, and what is mounted for it goes when it ends. That takes root, or a kernel that lets any
user make namespaces (user_namespaces(7)).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from leveret.testing.place import RabbitMQUnavailable

__all__ = ["SHARED_FOLDER", "check_root", "entering", "environment_inside"]

SHARED_FOLDER: Final = "/tmp"  # noqa: S108 - all that is made there has a name of its own
"""The folder that has the same path and content inside and outside."""

# Erlang reads /proc for the memory there is; scripts need /dev/null. $0 is the folder.
_ENTER: Final = (
    'mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev" && '
    f'mount --bind {SHARED_FOLDER} "$0{SHARED_FOLDER}" && '
    'exec chroot "$0" sh -c \'cd "$HOME" && exec "$@"\' sh "$@"'
)


def entering(root: str, command: Sequence[str]) -> list[str]:
    """The command as it is started from outside, to run in HOME; itself where `root` is empty."""
    if not root:
        return list(command)
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", "--mount", *as_root, "sh", "-c", _ENTER, root, *command]


def environment_inside(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what names folders and locales of the machine outside."""
    return dict(environment) | {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "TMPDIR": SHARED_FOLDER,
    }


def check_root(root: Path) -> None:
    """Return if commands can run in this folder.

    :raises RabbitMQUnavailable: they cannot; the message says what to do.
    """
    environment = environment_inside(os.environ) | {"HOME": "/"}
    try:
        done = subprocess.run(
            entering(str(root), ["true"]),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise RabbitMQUnavailable(f"cannot run {error.filename}, of util-linux") from error
    if done.returncode:
        raise RabbitMQUnavailable(
            f"cannot run commands in {root}; that takes root, or a kernel where any user may make "
            f"namespaces: {done.stderr.strip()}"
        )
