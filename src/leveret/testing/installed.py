"""The RabbitMQ that is installed on this machine: where it is, and how to install it with apt.

Another one can stand beside it, in a folder with a Debian of its own that LEVERET_RABBITMQ_ROOT
names: `scripts/rabbitmq4-chroot` makes one, so that tests run with two versions on one machine.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from leveret.testing.chroot import check_root
from leveret.testing.place import RabbitMQUnavailable, say

__all__ = [
    "Installation",
    "apt_command",
    "find_installation",
    "install_with_apt",
    "link_needed_plugins",
]

# Before PATH: Debian's /usr/sbin/rabbitmq-server is a wrapper that only runs as root or as the user
# rabbitmq, and always in /var/lib/rabbitmq. The scripts that it calls have no such wish.
_SCRIPT_FOLDERS = ("/usr/lib/rabbitmq/bin", "/usr/local/sbin", "/opt/homebrew/sbin")

_POLICY = Path("/usr/sbin/policy-rc.d")
_NO_SERVICE = (
    "#!/bin/sh\n# Leveret's tests: install RabbitMQ without starting its service.\nexit 101\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A RabbitMQ that nodes can be started from."""

    scripts: Path
    """Where `rabbitmq-server` and `rabbitmqctl` are, symlinks resolved, as seen within `root`."""
    root: str = ""
    """The folder with the Debian that it runs in (see `chroot`); empty for this machine's own."""

    def outside(self, path: Path) -> Path:
        """Where this process sees a path that RabbitMQ sees."""
        return Path(self.root, *path.parts[1:]) if self.root else path


def find_installation() -> Installation | None:
    """The one in LEVERET_RABBITMQ_ROOT, or else this machine's own; None without.

    :raises RabbitMQUnavailable: LEVERET_RABBITMQ_ROOT has none, or none that can be run.
    """
    root = os.environ.get("LEVERET_RABBITMQ_ROOT")
    if root:
        return _installation_in(Path(root).resolve())
    scripts = _find_scripts()
    return None if scripts is None else Installation(scripts=scripts)


def _installation_in(root: Path) -> Installation:
    # Not by symlinks: absolute ones would lead back to this machine's files.
    found = sorted(root.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"))
    if not found:
        raise RabbitMQUnavailable(
            f"LEVERET_RABBITMQ_ROOT is {root}, and there is no RabbitMQ in it; make one with "
            f"scripts/rabbitmq4-chroot {root}, or unset the variable"
        )
    check_root(root)
    return Installation(scripts=Path("/", found[-1].parent.relative_to(root)), root=str(root))


def _find_scripts() -> Path | None:
    """The real folder of `rabbitmq-server` and `rabbitmqctl`, symlinks resolved; None without."""
    on_path = shutil.which("rabbitmq-server")
    folders = [Path(folder) for folder in _SCRIPT_FOLDERS]
    folders += [Path(on_path).parent] if on_path else []
    for folder in folders:
        server = folder / "rabbitmq-server"
        if os.access(server, os.X_OK):
            return server.resolve().parent
    return None


def link_needed_plugins(installation: Installation, target: Path, *plugins: str) -> Path:
    """A RabbitMQ home under `target` with only what a broker with these plugins loads; its scripts.

    Erlang tries every folder of the code path for every module that it loads, and RabbitMQ ships 70
    of them. With the 20 it needs it starts in half the time.
    """
    home = installation.scripts.parent
    seen: set[str] = set()
    needed = [
        folder.name
        for application in ("rabbit", *plugins)
        for folder in _dependencies(installation.outside(home / "plugins"), application, seen)
    ]
    if not needed:  # another layout: it starts as well, only slower
        return installation.scripts
    (target / "plugins").mkdir(parents=True)
    for name in needed:
        (target / "plugins" / name).symlink_to(home / "plugins" / name)
    for name in ("sbin", "escript"):
        (target / name).symlink_to(home / name)
    return target / "sbin"


def _dependencies(plugins: Path, application: str, seen: set[str]) -> Iterator[Path]:
    """The folders of an Erlang application and of all that its .app file names."""
    manifests = list(plugins.glob(f"{application}-[0-9]*/ebin/{application}.app"))
    if application in seen or len(manifests) != 1:
        return  # one that comes with Erlang itself
    seen.add(application)
    yield manifests[0].parent.parent
    for names in re.findall(r"applications\s*,\s*\[([^\]]*)\]", manifests[0].read_text()):
        for name in re.findall(r"\w+", names):
            yield from _dependencies(plugins, name, seen)


def apt_command() -> list[str] | None:
    """How this user runs apt-get without being asked for a password; None where it cannot."""
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


def install_with_apt(apt: list[str]) -> None:
    """Install Debian's rabbitmq-server, without letting it start its own service.

    :raises RabbitMQUnavailable: apt failed; the message ends with what it said.
    """
    say("installing rabbitmq-server with apt (once; it takes a minute)")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    packages = ["install", "--yes", "--no-install-recommends", "rabbitmq-server"]
    with _services_held_back(apt[:-1]):
        for args in (["update"], packages):
            done = subprocess.run(
                [*apt, *args], env=environment, capture_output=True, text=True, check=False
            )
    if done.returncode:
        raise RabbitMQUnavailable(
            f"apt could not install rabbitmq-server (exit code {done.returncode}):\n"
            f"{(done.stdout + done.stderr)[-2000:]}"
        )


@contextmanager
def _services_held_back(as_root: list[str]) -> Iterator[None]:
    """While inside, packages may not start services (Debian's `policy-rc.d`, invoke-rc.d(8))."""
    if _POLICY.exists():  # the machine has its own policy: not ours to change
        yield
        return
    as_root = [word for word in as_root if "=" not in word]
    write = f"cat > {_POLICY} && chmod 755 {_POLICY}"
    subprocess.run([*as_root, "sh", "-c", write], input=_NO_SERVICE, text=True, check=True)
    try:
        yield
    finally:
        subprocess.run([*as_root, "rm", "-f", str(_POLICY)], check=True)
