"""RabbitMQ in a folder with a Debian of its own: what is said where there is none to be had.

That all else works there too is what `make test-rabbitmq4` shows: the tests of brokers run on it.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from leveret.testing import RabbitMQUnavailable
from leveret.testing.rabbitmq.installed import THIS_MACHINE
from tests.rabbitmq.broker import RabbitMQ
from tests.rabbitmq.chroot import machine_here
from tests.rabbitmq.cluster import RabbitMQCluster

SCRIPT = Path(__file__).parents[2] / "scripts" / "rabbitmq4-chroot"


def make_folder(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPT), str(folder)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_tests_find_rabbitmq_in_the_folder_and_users_on_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LEVERET_RABBITMQ_ROOT", str(tmp_path))
    here = machine_here()
    assert here.path(Path("/usr/lib")) == tmp_path / "usr/lib"
    assert here.command(["true"])[-2:] == [str(tmp_path), "true"]
    assert here.environment({"PATH": "/opt", "HOME": "/h"})["PATH"].startswith("/usr/sbin")
    monkeypatch.delenv("LEVERET_RABBITMQ_ROOT")
    assert machine_here() is THIS_MACHINE


@pytest.mark.parametrize("broker", [RabbitMQ(private=True), RabbitMQCluster()])
def test_a_folder_without_rabbitmq_is_named_and_how_to_make_one(
    broker: RabbitMQ | RabbitMQCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LEVERET_RABBITMQ_ROOT", str(tmp_path))
    with pytest.raises(RabbitMQUnavailable, match=f"make one with scripts/rabbitmq4-.* {tmp_path}"):
        broker.start()


def test_a_folder_where_nothing_can_run_is_told_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripts = tmp_path / "usr/lib/rabbitmq/lib/rabbitmq_server-4.0.0/sbin"
    scripts.mkdir(parents=True)
    (scripts / "rabbitmq-server").touch()
    monkeypatch.setenv("LEVERET_RABBITMQ_ROOT", str(tmp_path))
    with pytest.raises(RabbitMQUnavailable, match=r"cannot run commands in .*; that takes root"):
        RabbitMQ(private=True).start()


def test_the_folder_is_made_once(tmp_path: Path) -> None:
    (tmp_path / ".made-of-trixie-with-python-and-git").touch()
    done = make_folder(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_who_may_not_make_the_folder_is_told_what_to_run(tmp_path: Path) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, does in {"id": "echo 1000", "sudo": "exit 1"}.items():
        (commands / name).write_text(f"#!/bin/sh\n{does}\n")
        (commands / name).chmod(0o755)
    folder = tmp_path / "made"
    done = make_folder(folder, PATH=f"{commands}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert f"as root, run: {SCRIPT} {folder}" in done.stderr
    assert not folder.exists()
