"""The bar of `leveret call`: drawn with the first report, gone at the end."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from leveret.cli.progress_bar import ProgressBar, is_terminal
from leveret.contract import Progress


def terminal() -> tuple[Console, io.StringIO]:
    drawn = io.StringIO()
    return Console(file=drawn, force_terminal=True, width=80, color_system=None), drawn


def test_a_bar_shows_what_is_reported() -> None:
    console, drawn = terminal()
    with ProgressBar(console) as bar:
        bar.show(Progress(fraction=0.4, text="page 4 [bold]\x1b[31m\n"))
        assert "40% page 4 [bold]\\x1b[31m\\n" in drawn.getvalue()
        bar.show(Progress(text="nobody knows"))
        assert "nobody knows" in drawn.getvalue()
    assert drawn.getvalue().endswith("\x1b[2K")  # the line is empty again


def test_nothing_is_drawn_without_a_report() -> None:
    console, drawn = terminal()
    with ProgressBar(console):
        pass
    assert drawn.getvalue() == ""


def test_no_bar_is_wanted_where_nobody_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not is_terminal()
