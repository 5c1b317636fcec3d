"""What starting the command costs those who do not use it, and those without its extra."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import leveret


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


def unread(*words: str) -> tuple[int, bytes]:
    """The exit code and the errors of a command whose output nobody reads."""
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "leveret", *words],
            stdout=write,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(write)
    return done.returncode, done.stderr


def test_a_command_whose_output_nobody_reads_ends_as_it_would_otherwise(tmp_path: Path) -> None:
    contract = tmp_path / "contract.json"
    contract.write_text('{"service": "shop", "methods": {}}')
    assert unread("diff", str(contract), str(contract)) == (0, b"")


def test_a_help_that_nobody_reads_is_given_as_any_other() -> None:
    assert unread("--help") == (0, b"")


@pytest.mark.parametrize("words", [["--help"], ["call", "--help"], ["failed", "ls", "-h"]])
def test_a_help_that_a_full_disk_does_not_take_says_so_in_one_line(words: list[str]) -> None:
    with Path("/dev/full").open("w") as out:
        done = subprocess.run(
            [sys.executable, "-m", "leveret", *words],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 70
    message = "leveret: the output cannot be written, and is lost: [Errno 28] No space left on"
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


def test_an_error_that_a_full_disk_does_not_take_has_the_same_exit_code(tmp_path: Path) -> None:
    missing = str(tmp_path / "contract.json")
    with Path("/dev/full").open("w") as errors:
        done = subprocess.run(
            [sys.executable, "-m", "leveret", "diff", missing, missing],
            stdout=subprocess.PIPE,
            stderr=errors,
            check=False,
        )
    assert (done.returncode, done.stdout) == (11, b"")


def test_a_command_without_a_standard_input_has_an_empty_one() -> None:
    given = ["leveret", "call", "shop.left", "-d", "-"]
    done = run(f"import sys, leveret.cli; sys.argv = {given}; sys.stdin = None; leveret.cli.main()")
    assert done.returncode == 2
    assert "--arguments takes one JSON object" in done.stderr


def test_a_command_without_a_standard_output_ends_as_it_would_otherwise(tmp_path: Path) -> None:
    contract = tmp_path / "contract.json"
    contract.write_text('{"service": "shop", "methods": {}}')
    given = ["leveret", "diff", str(contract), str(contract)]
    done = run(
        f"import sys, leveret.cli; sys.argv = {given}; sys.stdout = None; leveret.cli.main()"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_import_leveret_does_not_import_the_command_line() -> None:
    done = run("import sys, leveret; print(*sorted({'leveret.cli', 'typer'} & set(sys.modules)))")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_a_worker_does_without_typer_and_rich() -> None:
    done = run(
        "import sys, leveret.cli.serving.worker; print(*{'typer', 'rich'} & set(sys.modules))"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_the_version_is_that_of_the_installed_package() -> None:
    assert leveret.__version__ == metadata.version("leveret")


def test_without_its_extra_the_command_says_in_one_line_what_to_install() -> None:
    done = run("import sys; sys.modules['typer'] = None; import leveret.cli; leveret.cli.main()")
    assert done.returncode == 2
    assert done.stderr == ("leveret: the command line needs typer: pip install 'leveret[cli]'\n")


def test_reloading_says_what_to_install_where_nothing_can_watch_files() -> None:
    done = run(
        "import sys; sys.modules['watchfiles'] = None; sys.argv = ['leveret', 'serve', 'a:B',"
        " '--reload']; import leveret.cli; leveret.cli.main()"
    )
    assert done.returncode == 2
    assert done.stderr == (
        "leveret: the command line needs watchfiles: pip install 'leveret[cli]'\n"
    )


def test_only_reloading_imports_what_watches_files() -> None:
    done = run("import sys, leveret.cli.app; print(*{'watchfiles', 'anyio'} & set(sys.modules))")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_a_command_imports_nothing_heavy_that_it_does_not_use() -> None:
    done = run(
        "import sys, leveret.cli; sys.argv = ['leveret', 'serve', 'nowhere:Nothing']\n"
        "try: leveret.cli.main()\n"
        "except SystemExit: pass\n"
        "print(*{'pydantic', 'urllib.request', 'leveret.broker'} & set(sys.modules))"
    )
    assert done.returncode == 0, done.stderr
    assert "nowhere" in done.stderr
    assert done.stdout.strip() == ""
