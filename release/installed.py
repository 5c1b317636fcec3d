"""Runs the tests of the sdist against the wheel, in a virtual environment made for it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from release.commands import run
from release.distributions import unpack

EXTRAS = "arrow,cli,console,metrics,otel,postgres,redis"


def test(sdist: Path, wheel: Path, tests: list[str]) -> None:
    """Install the wheel with its extras, and run tests of the sdist on the embedded broker.

    :param tests: which, as paths in the sdist.
    :raises Failed: an installation or a test fails.
    """
    with TemporaryDirectory(prefix="leveret-release-") as made:
        folder = Path(made)
        (folder / "sdist").mkdir()
        files = unpack(sdist, folder / "sdist")
        shutil.rmtree(files / "src")  # so that nothing but the wheel can be imported
        run(sys.executable, "-m", "venv", folder / "venv")
        python = folder / "venv" / "bin" / "python"
        pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        run(*pip, "pip>=25.1")  # the first that knows dependency groups
        run(*pip, "--no-compile", f"leveret[{EXTRAS}] @ {wheel.as_uri()}")
        run(python, "-c", "import leveret, pathlib; print(pathlib.Path(leveret.__file__).parent)")
        run(folder / "venv" / "bin" / "leveret", "--version")
        run(*pip, "--no-compile", "--group", f"{files / 'pyproject.toml'}:test")
        pytest = (python, "-m", "pytest", "-q", "-n", "auto", "--dist", "loadgroup")
        run(*pytest, "-p", "no:cacheprovider", "-k", "embedded", *tests, cwd=files)
