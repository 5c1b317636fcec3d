"""Options from a file are judged as those of the command line, which counts before it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from leveret.cli.settings import read_settings

app = typer.Typer()


@app.command(context_settings={"auto_envvar_prefix": "LEVERET_TEST"})
def show(
    targets: list[str],
    *,
    workers: int = 1,
    allow: Annotated[list[str] | None, typer.Option()] = None,
    send_tracebacks: Annotated[bool, typer.Option("--send-tracebacks")] = False,
    config: Annotated[Path | None, typer.Option(is_eager=True, callback=read_settings)] = None,
) -> None:
    print(targets, workers, allow, send_tracebacks, config is not None)


def shown(*words: str, **environment: str) -> str:
    return CliRunner(env={"COLUMNS": "200", **environment}).invoke(app, words).output.strip()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "serve.toml"
    path.write_text(
        'targets = ["a:A", "b:B"]\nworkers = 3\nallow = ["x=ann"]\nsend-tracebacks = true\n'
    )
    return path


def test_a_file_gives_what_the_command_line_does_not(file: Path) -> None:
    config = f"--config={file}"
    assert shown(config) == "['a:A', 'b:B'] 3 ['x=ann'] True True"
    assert shown(config, "c:C", "--workers=4") == "['c:C'] 4 ['x=ann'] True True"


def test_the_environment_counts_before_the_file(file: Path) -> None:
    environment = {
        "LEVERET_TEST_CONFIG": str(file),
        "LEVERET_TEST_WORKERS": "5",
        "LEVERET_TEST_ALLOW": "x=bob y=eve",
    }
    assert shown(**environment) == "['a:A', 'b:B'] 5 ['x=bob', 'y=eve'] True True"
    told = shown("a:A", LEVERET_TEST_WORKERS="")
    assert "Invalid value for the environment: LEVERET_TEST_WORKERS is empty" in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("workers = 2.5", "Invalid value for '--workers'"),
        ("workers = true", "Invalid value for '--workers'"),
        ("workers = [1]", "workers is neither a text, a number nor a truth value"),
        ("worker = 1", "there is no option 'worker'; there are targets, workers, allow"),
        ("workers =", "cannot be read"),
    ],
)
def test_what_cannot_be_an_option_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "serve.toml"
    path.write_text(text)
    assert told in " ".join(shown(f"--config={path}", "a:A").replace("│", "").split())


def test_a_file_is_utf8_whatever_the_locale_says(tmp_path: Path) -> None:
    path = tmp_path / "serve.toml"
    path.write_bytes(b"\xef\xbb\xbf" + 'targets = ["büro"]\n'.encode())  # as Notepad writes it
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-m", "leveret", "serve", "--config", str(path)],
        env={**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        check=False,
    )
    assert (
        done.stderr.decode() == "leveret: TargetError: 'büro' is no target: write module:Service\n"
    )


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in shown(f"--config={tmp_path / 'none'}", "a:A")
