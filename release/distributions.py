"""Builds the sdist and the wheel, once, and checks what is in them."""

from __future__ import annotations

import shutil
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

from release.commands import ROOT, Failed, output, run, tool

DIST: Final = ROOT / "dist"
LARGEST_WHEEL: Final = 2_000_000
"""Bytes: what is more has got something in that it should not have."""

NEEDED: Final = (
    *("README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", "Makefile", "src/leveret/py.typed"),
    *("tests/conftest.py", "docs/errors.md", "examples/tutorial/fibonacci.py"),
)
"""Files that an sdist must have: some of each part that its tests need."""


def build() -> tuple[Path, Path]:
    """Build into dist/, which is emptied first; the times in the files are those of the commit.

    :returns: the sdist and the wheel, which is built from the sdist.
    """
    shutil.rmtree(DIST, ignore_errors=True)
    when = output("git", "log", "-1", "--format=%ct") or "315532800"
    run(sys.executable, "-m", "build", "--outdir", DIST, SOURCE_DATE_EPOCH=when)
    (sdist,) = DIST.glob("*.tar.gz")
    (wheel,) = DIST.glob("*.whl")
    return sdist, wheel


def check(sdist: Path, wheel: Path, version: str) -> None:
    """Check both, and the metadata.

    :raises Failed: something is not as it should be.
    """
    run(tool("validate-pyproject"), ROOT / "pyproject.toml")
    run(tool("twine"), "check", "--strict", sdist, wheel)
    run(tool("check-wheel-contents"), wheel)
    for path in (sdist, wheel):
        if f"-{version}" not in path.name:
            raise Failed(f"{path.name} is not of the version {version}")
    if wheel.stat().st_size > LARGEST_WHEEL:
        raise Failed(f"{wheel.name} has {wheel.stat().st_size} bytes, more than {LARGEST_WHEEL}")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    if missing := set(NEEDED) - inside:
        raise Failed(f"{sdist.name} has no {', '.join(sorted(missing))}")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    sources = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path)
    }
    if missing := sources - names:
        raise Failed(f"{wheel.name} has no {', '.join(sorted(missing))}")


def unpack(sdist: Path, folder: Path) -> Path:
    """Unpack the sdist into a folder; returns the folder of its files."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = folder.iterdir()
    return unpacked
