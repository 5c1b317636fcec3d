"""The RabbitMQ that is installed on a machine: where it is, and how its programs are run."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

__all__ = ["THIS_MACHINE", "Installation", "Machine", "find_installation", "link_needed_plugins"]

# Searched before PATH. Debian's /usr/sbin/rabbitmq-server is a wrapper that runs only as root or as
# the user rabbitmq, and always in /var/lib/rabbitmq. The scripts that it calls run for any user.
_SCRIPT_FOLDERS = ("/usr/lib/rabbitmq/bin", "/usr/local/sbin", "/opt/homebrew/sbin")


class Machine:
    """Where RabbitMQ's programs run: this machine.

    A subclass runs them elsewhere, for instance in a folder with another Linux. There the programs
    may see other paths than this process does.
    """

    __slots__ = ()

    parent_of_folders: str | None = None
    """The folder in which nodes get theirs, with one path for both sides; None: the system's."""

    def command(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` there."""
        return list(command)

    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The environment of programs that run there, made from one of this process."""
        return dict(environment)

    def path(self, path: Path) -> Path:
        """Where this process finds a path that the programs see."""
        return path

    def find_program(self, name: str) -> str | None:
        """The name or path of a program there; None if it is not in PATH."""
        return shutil.which(name)


THIS_MACHINE: Final = Machine()


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A RabbitMQ that nodes can be started from."""

    scripts: Path
    """The folder of `rabbitmq-server` and `rabbitmqctl` on `machine`, symlinks resolved."""
    machine: Machine = field(default=THIS_MACHINE)
    """Where its programs run."""


def find_installation() -> Installation | None:
    """The RabbitMQ that is installed on this machine; None if there is none."""
    on_path = shutil.which("rabbitmq-server")
    folders = [Path(folder) for folder in _SCRIPT_FOLDERS]
    folders += [Path(on_path).parent] if on_path else []
    for folder in folders:
        server = folder / "rabbitmq-server"
        if os.access(server, os.X_OK):
            return Installation(scripts=server.resolve().parent)
    return None


def link_needed_plugins(installation: Installation, target: Path, *plugins: str) -> Path:
    """Make a RabbitMQ home under `target` that has only what a broker with these plugins loads.

    Erlang searches every folder of its code path for every module that it loads, and RabbitMQ ships
    70 of them. With the 20 that it needs, the broker starts in half the time.

    :returns: the folder of the scripts to start.
    """
    home = installation.scripts.parent
    seen: set[str] = set()
    needed = [
        folder.name
        for application in ("rabbit", *plugins)
        for folder in _dependencies(installation.machine.path(home / "plugins"), application, seen)
    ]
    if not needed:  # an unknown layout: the broker starts all the same, only slower
        return installation.scripts
    (target / "plugins").mkdir(parents=True)
    for name in needed:
        (target / "plugins" / name).symlink_to(home / "plugins" / name)
    for name in ("sbin", "escript"):
        (target / name).symlink_to(home / name)
    return target / "sbin"


def _dependencies(plugins: Path, application: str, seen: set[str]) -> Iterator[Path]:
    """The folders of an Erlang application and of all applications that its .app file names."""
    manifests = list(plugins.glob(f"{application}-[0-9]*/ebin/{application}.app"))
    if application in seen or len(manifests) != 1:
        return  # seen already, or an application that comes with Erlang itself
    seen.add(application)
    yield manifests[0].parent.parent
    for names in re.findall(r"applications\s*,\s*\[([^\]]*)\]", manifests[0].read_text()):
        for name in re.findall(r"\w+", names):
            yield from _dependencies(plugins, name, seen)
