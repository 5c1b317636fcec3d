"""What tests need of other projects is installed before they run, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import apt, programs
from tests.programs import Program

HERE = Program("one", ("sh",), "/bin")
MISSING = Program("two", ("no-such-program", "nor-this-one"))
ALSO_MISSING = Program("three", ("no-such-program-either",))
THAT_TOO = Program("three", ("nor-the-other-program-of-its-package",))


@pytest.fixture
def apt_get(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An apt-get that notes its arguments."""
    command = tmp_path / "apt-get"
    command.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/said\n')
    command.chmod(0o755)
    monkeypatch.setattr(apt, "_POLICY", tmp_path)  # there already: untouched
    monkeypatch.setattr(apt, "apt_command", lambda: [str(command)])
    monkeypatch.setattr(programs, "_ALL", (HERE, MISSING, ALSO_MISSING, THAT_TOO))
    return command


def test_what_is_missing_is_installed_at_once(apt_get: Path) -> None:
    assert programs.main() == 0
    update, install = apt_get.with_name("said").read_text().splitlines()
    assert update.endswith("update -qq")
    assert install.endswith("--no-install-recommends three two")


def test_nothing_is_installed_where_all_is_there(
    apt_get: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "_ALL", (HERE,))
    assert programs.main() == 0
    assert not apt_get.with_name("said").exists()


def test_what_apt_says_when_it_fails_is_passed_on(
    apt_get: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apt_get.write_text("#!/bin/sh\necho no network >&2\nexit 100\n")
    assert programs.main() == 1
    assert "apt could not install three two (exit code 100):\nno network" in capsys.readouterr().err


def test_who_cannot_install_is_told_what_to_install(
    apt_get: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(apt, "apt_command", lambda: None)
    assert programs.main() == 0
    assert "sudo apt-get install three two" in capsys.readouterr().err


def test_a_test_that_needs_a_missing_program_says_how_to_install_it(
    apt_get: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert HERE.find_or_install() in {"/bin/sh", "/usr/bin/sh"}
    with pytest.raises(AssertionError, match="two is installed, but none of"):
        MISSING.find_or_install()
    monkeypatch.setattr(apt, "apt_command", lambda: None)
    with pytest.raises(AssertionError, match="sudo apt-get install two"):
        MISSING.find_or_install()
