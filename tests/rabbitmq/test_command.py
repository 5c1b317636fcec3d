"""`python -m tests.rabbitmq`, with which make finds or installs the RabbitMQ of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from leveret.testing import RabbitMQUnavailable
from tests import apt
from tests.rabbitmq.broker import RabbitMQ

ROOT = Path(__file__).parents[2]


def run_command(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.rabbitmq", *args],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def machine_without_rabbitmq(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder that is all of PATH."""
    for name in ("LEVERET_URL", "LEVERET_RABBITMQ_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("leveret.testing.rabbitmq.installed._SCRIPT_FOLDERS", ())
    return tmp_path


def test_a_command_runs_with_the_url_and_gives_its_exit_code() -> None:
    program = "import os; print(os.environ['LEVERET_URL']); raise SystemExit(3)"
    done = run_command("--", sys.executable, "-c", program, LEVERET_URL="amqp://somewhere/")
    assert (done.returncode, done.stdout) == (3, "amqp://somewhere/\n"), done.stderr


def test_a_check_starts_nothing() -> None:
    done = run_command("--check", LEVERET_URL="amqp://somewhere/")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_check_that_finds_none_says_what_to_do(tmp_path: Path) -> None:
    done = run_command("--check", LEVERET_URL="", LEVERET_RABBITMQ_ROOT=str(tmp_path))
    assert done.returncode == 69
    assert "make one with scripts/rabbitmq4-chroot" in done.stderr


def test_apt_installs_one_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, machine_without_rabbitmq: Path
) -> None:
    installed: list[str] = []

    def install(command: list[str], package: str) -> None:
        installed.append(package)
        server = machine_without_rabbitmq / "rabbitmq-server"
        server.touch(mode=0o755)

    monkeypatch.setattr(apt, "apt_command", lambda: ["apt-get"])
    monkeypatch.setattr(apt, "install", install)
    RabbitMQ(install=True).check()
    assert installed == ["rabbitmq-server"]


def test_apt_is_left_alone_unless_asked(
    monkeypatch: pytest.MonkeyPatch, machine_without_rabbitmq: Path
) -> None:
    monkeypatch.setattr(apt, "apt_command", lambda: pytest.fail("nobody asked for apt"))
    with pytest.raises(RabbitMQUnavailable, match="apt-get install rabbitmq-server"):
        RabbitMQ().check()


def test_what_apt_says_when_it_fails_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, machine_without_rabbitmq: Path
) -> None:
    apt_get = machine_without_rabbitmq / "apt-get"
    apt_get.write_text("#!/bin/sh\necho no network >&2\nexit 100\n")
    apt_get.chmod(0o755)
    monkeypatch.setattr(apt, "_POLICY", machine_without_rabbitmq)  # there already: untouched
    monkeypatch.setattr(apt, "apt_command", lambda: [str(apt_get)])
    with pytest.raises(RabbitMQUnavailable, match=r"exit code 100(?s:.)*no network"):
        RabbitMQ(install=True).check()
