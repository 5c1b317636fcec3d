"""The command line: `python -m release check`, or `python -m release build` for the files alone."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Final

from release import api, distributions, installed, workflows
from release.commands import ROOT, Failed
from website.reference import MODULES

TESTS: Final = ["tests/behaviour"]
"""What is run against the wheel."""


def main() -> None:
    """Do what the arguments say; exits with 1 where the release does not pass."""
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build the sdist and the wheel into dist/, and check them")
    whole = commands.add_parser("check", help="the same, and all else that a release has to pass")
    whole.add_argument("tests", nargs="*", default=TESTS, help="tests to run against the wheel")
    whole.add_argument("--built", action="store_true", help="take the files in dist/ as they are")
    arguments = parser.parse_args()
    try:
        if arguments.command == "build":
            _build()
        else:
            _check(arguments.tests, built=arguments.built)
    except Failed as error:
        sys.exit(f"release: {error}")


def _build() -> None:
    sdist, wheel = distributions.build()
    distributions.check(sdist, wheel, _version())
    print(f"release: {sdist.name}, {wheel.name}: {wheel.stat().st_size} bytes")


def _check(tests: list[str], *, built: bool) -> None:
    version = _version()
    _check_changelog(version)
    workflows.check()
    print(f"release: {api.check(ROOT, version, ('leveret', *MODULES))}")
    if not built:
        _build()
    (sdist,) = distributions.DIST.glob("*.tar.gz")
    (wheel,) = distributions.DIST.glob("*.whl")
    distributions.check(sdist, wheel, version)
    installed.test(sdist, wheel, tests)
    print(f"release: {version} passes")


def _version() -> str:
    text = (ROOT / "src" / "leveret" / "version.py").read_text()
    found = re.search(r'__version__ = "([^"]+)"', text)
    if found is None:
        raise Failed("src/leveret/version.py has no __version__")
    return found[1]


def _check_changelog(version: str) -> None:
    if f"\n## [{version}] - " not in (ROOT / "CHANGELOG.md").read_text():
        raise Failed(f"CHANGELOG.md has no section of {version} with its date")


if __name__ == "__main__":
    main()
