"""The command line: `python -m website build`, or `serve` to read it while writing."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from website import checks
from website.documented import undocumented
from website.places import ROOT, NoPlace
from website.search import mended
from website.sources import NotInNav, gather, public_names

SOURCES: Final = ROOT / "build" / "site-source"
SITE: Final = ROOT / "build" / "site"


def main() -> None:
    """Do what the arguments say; exits with 1 where the site is not whole."""
    parser = argparse.ArgumentParser(prog="python -m website", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build the site into build/site, and check it")
    serve = commands.add_parser("serve", help="build it, and show it at localhost:8000")
    serve.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    try:
        gather(SOURCES)
    except (NoPlace, NotInNav) as error:
        sys.exit(f"website: {error}")
    found = [f"{name} has no docstring" for name in undocumented(public_names())]
    _build()
    index = SITE / "search.json"
    index.write_text(mended(index.read_text()))
    found += checks.problems(SITE)
    for line in found:
        print(f"website: {line}", file=sys.stderr)
    if found:
        sys.exit(f"website: {len(found)} problems")
    print(f"the site is whole: {SITE / 'index.html'}")
    if arguments.command == "serve":
        _serve(arguments.port)


def _build() -> None:
    shutil.rmtree(SITE, ignore_errors=True)
    command = [str(Path(sys.executable).parent / "zensical"), "build", "--strict", "--clean"]
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    for page in SOURCES.rglob("*.md"):  # as llms.txt names them
        shutil.copyfile(page, SITE / page.relative_to(SOURCES))


def _serve(port: int) -> None:
    print(f"http://localhost:{port}/ until Ctrl-C", flush=True)
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(SITE)]
    try:
        subprocess.run([*command, str(port)], check=False)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
