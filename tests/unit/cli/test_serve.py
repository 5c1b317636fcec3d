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
