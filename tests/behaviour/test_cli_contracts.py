"""The commands that tell of contracts: of a class, of a file, and of what servers say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import leveret
from leveret import Service, method
from tests.behaviour.cli_commands import Commands
from tests.behaviour.cli_service import Desk

DESK = "cli_service:Desk"
NEXT = """
from leveret import Service, method

class Desk(Service, name="desk"):
    @method
    async def fib(self, n: int, quick: bool = False) -> int:
        return n
"""


class OldDesk(Service, name="desk"):
    """A desk of before."""

    @method
    async def fib(self, n: int) -> int:
        return n


@pytest.fixture
async def commands(tmp_path: Path, rabbitmq_url: str) -> AsyncIterator[Commands]:
    async with Commands(tmp_path, rabbitmq_url) as commands:
        (tmp_path / "next_desk.py").write_text(NEXT)
        yield commands


@pytest.fixture
async def served(commands: Commands) -> AsyncIterator[Commands]:
    """The commands, with `Desk` served by this process."""
    async with leveret.connect(commands.url) as rabbit, rabbit.serving(Desk()):
        yield commands


# -- diff ------------------------------------------------------------------------------------------


@pytest.mark.embedded_only
async def test_diff_of_a_file_and_a_class_ends_with_1_where_something_breaks(
    commands: Commands,
) -> None:
    file = commands.folder / "desk.json"
    file.write_bytes((await commands.run("schema", DESK)).out)
    same = await commands.run("diff", "desk.json", DESK)
    assert (same.text, same.lines, same.process.returncode) == ("no difference\n", [], 0)
    broken = await commands.run("diff", "desk.json", "next_desk:Desk")
    assert broken.process.returncode == 1
    said = broken.text.splitlines()
    assert "break    desk.fib: it is not idempotent any more" in broken.text
    assert "fine     desk.fib: the argument quick is new [argument-added]" in said
    assert said[-1] == "7 breaks, 0 warnings"
    told = await commands.run("diff", DESK, "next_desk:Desk", "--json")
    assert told.json["breaks"] == 7
    assert told.json["changes"][-1] == {
        "level": "fine",
        "method": "desk.fib",
        "rule": "argument-wider",
        "text": "argument n may be more than it could",
    }
    assert told.process.returncode == 1


async def test_diff_holds_what_servers_have_against_a_class(commands: Commands) -> None:
    async with leveret.connect(commands.url) as rabbit, rabbit.serving(OldDesk()):
        diff = await commands.run("diff", "live:desk", "next_desk:Desk")
        assert diff.process.returncode == 0, diff.lines
        assert diff.text.splitlines() == [
            "fine     desk.fib: the argument quick is new [argument-added]",
            "0 breaks, 0 warnings",
        ]
        back = await commands.run("diff", "next_desk:Desk", "live:desk")
        assert back.process.returncode == 1
        assert "[argument-removed]" in back.text


@pytest.mark.embedded_only
async def test_diff_says_which_side_cannot_be_had(commands: Commands) -> None:
    gone = await commands.run("diff", "gone.json", DESK)
    assert (gone.process.returncode, gone.text) == (11, "")
    assert "gone.json cannot be read" in gone.error
    (commands.folder / "other.json").write_text("{}")
    other = await commands.run("diff", "other.json", DESK, "--json")
    assert other.process.returncode == 11
    assert "is no contract" in other.error
    nobody = await commands.run("diff", "live:desk", DESK)
    assert nobody.process.returncode == 5
    assert "no server of the service 'desk' is there" in nobody.error
