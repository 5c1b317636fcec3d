"""Programs of other projects that tests run: found, or installed as Debian's packages.

`python -m tests.programs` installs all that are missing at once. `make test` does so before the
tests: while apt works, a test that waits for it stands still, and so does the event loop of others
in its process.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests import apt

__all__ = [
    "CHROMIUM",
    "POSTGRES",
    "PROMETHEUS",
    "PROMTOOL",
    "REDIS_CLI",
    "REDIS_SERVER",
    "SETPRIV",
    "Program",
    "main",
]


@dataclass(frozen=True)
class Program:
    """A program, and the package of Debian that has it."""

    package: str
    names: tuple[str, ...]
    """The first of them that is there is taken."""
    folders: str = "/usr/sbin"
    """Where it may be besides PATH, a pattern; the last folder that matches is taken."""

    def find(self) -> str | None:
        """Its path, in these folders or else in PATH; None where it is missing."""
        for name in self.names:
            places = sorted(Path("/").glob(f"{self.folders[1:]}/{name}"))
            if found := str(places[-1]) if places else shutil.which(name):
                return found
        return None

    def find_or_install(self) -> str:
        """Its path. Fails, and says what to do, where it is missing and cannot be installed."""
        if (found := self.find()) is None:
            command = apt.apt_command()
            assert command is not None, (
                f"these tests need {self.package}, which is not installed, and this user cannot run"
                f" apt-get without a password; install it: sudo apt-get install {self.package}"
            )
            apt.install(command, self.package)
            found = self.find()
        assert found, (
            f"{self.package} is installed, but none of {self.names} is in PATH or in {self.folders}"
        )
        return found


CHROMIUM: Final = Program("chromium", ("chromium", "chromium-browser", "google-chrome"))
POSTGRES: Final = Program("postgresql", ("postgres",), "/usr/lib/postgresql/*/bin")
PROMETHEUS: Final = Program("prometheus", ("prometheus",))
PROMTOOL: Final = Program("prometheus", ("promtool",))
REDIS_CLI: Final = Program("redis-tools", ("redis-cli",))
REDIS_SERVER: Final = Program("redis-server", ("redis-server",))
SETPRIV: Final = Program("util-linux", ("setpriv",))

_ALL: Final = (CHROMIUM, POSTGRES, PROMETHEUS, PROMTOOL, REDIS_CLI, REDIS_SERVER, SETPRIV)


def main() -> int:
    """Install what is missing; where this user cannot, say so. Returns the exit code."""
    missing = sorted({program.package for program in _ALL if program.find() is None})
    if not missing:
        return 0
    names = " ".join(missing)
    command = apt.apt_command()
    if command is None:
        print(
            f"leveret.tests: some tests will fail, as this user cannot run apt-get without a"
            f" password; install what they need: sudo apt-get install {names}",
            file=sys.stderr,
        )
        return 0
    print(f"leveret.tests: installing {names} with apt (once; it takes a minute)", file=sys.stderr)
    try:
        apt.install(command, *missing)
    except apt.AptFailed as error:
        print(f"leveret.tests: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
