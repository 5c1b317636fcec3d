"""README.md holds: every snippet and every command in it is run, as a reader would."""

from __future__ import annotations

import signal
import tomllib

from leveret import Rabbit
from tests.docs.fences import ROOT, blocks, table
from tests.docs.pages import README, commands, files, serves
from tests.docs.shell import Shell, lines

ROWS = (
    *("Leveret", "C, librabbitmq: a bare loop, the ceiling", "nats-py (another broker)"),
    *("grpc.aio (no broker)", "aio-pika, `patterns.RPC`", "FastStream, `request`"),
)
"""The rows of docs/speed.md that README shows."""


def test_the_example_has_fifteen_lines() -> None:
    example = files()["fibonacci.py"] + files()["client.py"]
    code = [line for line in example.splitlines() if line and not line.startswith("#")]
    assert len(code) == 15


def test_readme_is_short() -> None:
    assert len((ROOT / README).read_text().splitlines()) < 230


async def test_the_example_runs_as_two_files_with_the_command_line(
    shell: Shell, rabbit: Rabbit
) -> None:
    _, (serve,), calls, script = commands(README, "Fifteen lines")
    assert str(serve) == "leveret serve fibonacci:Fibonacci"
    async with shell.running(*serve.words) as server:
        await serves(rabbit)
        for line in (*calls, *script):
            await shell.check(line)
        server.send_signal(signal.SIGTERM)
        assert await server.wait() == 0


def test_every_command_of_readme_is_run_by_a_test() -> None:
    told = [str(line) for block in blocks(README, "sh") for line in lines(block.text)]
    assert told == [
        *("python3 -m venv venv", ". venv/bin/activate", "pip install '.[cli]'"),  # below
        "leveret broker",  # tests/docs/test_embedded_broker.py
        "leveret serve fibonacci:Fibonacci",
        "python client.py",
        "leveret call fibonacci.fib n=30",
        "python script.py",
        "leveret demo",  # tests/examples/test_tutorial.py
    ]


def test_what_pip_is_told_to_install_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "cli" in project["optional-dependencies"]
    assert project["readme"] == README


def test_the_figures_are_those_of_the_page_about_speed() -> None:
    measured = {name: (calls, p50) for name, calls, _, p50 in table("docs/speed.md", "Speed")}
    shown = {name: (calls, p50) for name, calls, p50 in table(README, "Why")}
    assert shown == {name: measured[name] for name in ROWS}
