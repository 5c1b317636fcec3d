"""What docs/operating.md tells an operator to do works."""

from __future__ import annotations

from pathlib import Path

import pytest

import leveret
from leveret import Service, method
from leveret.cli.exits import EXIT_CODES
from tests.docs.fences import blocks, table
from tests.docs.shell import Shell, lines

OPERATING = "docs/operating.md"


class Shop(Service):
    @method
    async def order(self, what: str) -> str:
        return what


async def test_the_commands_run(
    rabbitmq_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    shell = Shell(tmp_path, rabbitmq_url)
    async with leveret.connect(rabbitmq_url) as rabbit, rabbit.serving(Shop()):
        for block in blocks(OPERATING, "sh"):
            for line in lines(block.text):
                await shell.check(line)
    assert not (tmp_path / "config" / "leveret" / "contexts.toml").read_text().strip()


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    for cells in table(OPERATING, "What is not complete says so"):
        for code in cells[0].split(", "):
            assert int(code) in EXIT_CODES
