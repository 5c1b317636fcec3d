"""What `leveret serve` refuses before it serves."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from leveret.cli.app import app
from leveret.cli.commands import serve as command


def test_metrics_without_their_extra_are_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    runner = CliRunner(env={"COLUMNS": "200"})
    found = runner.invoke(app, ["serve", "shop:Shop", "--metrics", ":9100"])
    assert found.exit_code == 2
    assert "pip install 'leveret[metrics]'" in found.output


@pytest.mark.parametrize(
    ("store", "extra"),
    [("redis://box", "redis"), ("UNIX:///run/redis", "redis"), ("postgresql://box/x", "postgres")],
)
def test_a_store_without_its_client_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, store: str, extra: str
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    runner = CliRunner(env={"COLUMNS": "200"})
    found = runner.invoke(app, ["serve", "shop:Shop", "--once", store])
    assert found.exit_code == 2
    assert f"pip install 'leveret[{extra}]'" in found.output


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--grace=nan", "nan is no number of seconds"),
        ("--grace=inf", "inf is not in the range"),
        ("--wait-for-broker=nan", "nan is no number of seconds"),
    ],
)
def test_seconds_that_no_clock_can_wait_are_refused(option: str, told: str) -> None:
    found = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["serve", "shop:Shop", option])
    assert found.exit_code == 2
    assert told in found.output


def test_a_name_that_amqp_does_not_take_is_refused() -> None:
    runner = CliRunner(env={"COLUMNS": "200"})
    found = runner.invoke(app, ["serve", "shop:Shop", "--name", "n" * 256])
    assert found.exit_code == 2
    assert "--name is longer than the 255 bytes of AMQP" in found.output


@pytest.mark.parametrize(
    "words",
    [
        ["call", "shop.left", "--timeout=nan"],
        ["ls", "--timeout=nan"],
        ["top", "--interval=nan"],
        ["map", "--interval=nan"],
    ],
)
def test_what_is_no_number_of_seconds_is_refused(words: list[str]) -> None:
    found = CliRunner(env={"COLUMNS": "200"}).invoke(app, words)
    assert found.exit_code == 2
    assert "nan is no number of seconds" in found.output
