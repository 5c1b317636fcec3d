"""The commands that tell of contracts, of what servers say. tests/unit/cli has those of classes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

import leveret
from leveret import Service, method
from tests.behaviour.cli_commands import Commands
from tests.behaviour.cli_service import Desk

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


# -- describe, docs, asyncapi ----------------------------------------------------------------------


async def test_describe_tells_what_servers_say_and_who_they_are(served: Commands) -> None:
    service = await served.run("describe", "desk")
    assert service.process.returncode == 0, service.lines
    said = service.text.splitlines()
    assert said[:2] == ["desk", "  Answers, fails and waits, as it is told."]
    assert "  async def fib(self, n: int) -> int" in said
    assert "1 server answered" in said
    told = await served.run("describe", "desk.fib", "--json")
    assert told.json["arguments"]["properties"]["n"]["maximum"] == 10_000
    assert [set(server) for server in told.json["servers"]] == [{"instance", "name"}]
    nobody = await served.run("describe", "dsk")
    assert nobody.process.returncode == 5
    assert "Did you mean 'desk'?" in nobody.error


async def test_all_that_is_served_can_be_kept_and_compared(served: Commands) -> None:
    kept = await served.run("schema", "--live", "-o", "all.json")
    assert (kept.process.returncode, kept.text) == (0, ""), kept.lines
    diff = await served.run("diff", "all.json", "live:")
    assert diff.text == "no difference\n"


async def test_documents_are_of_all_that_is_served_or_of_some(served: Commands) -> None:
    live = await served.run("docs", "--live")
    assert "# desk\n" in live.text
    assert "| served by | instance |" in live.text
    asyncapi = await served.run("asyncapi", "--live", "desk", "-o", "desk.json")
    assert asyncapi.process.returncode == 0, asyncapi.lines
    document = msgspec.json.decode((served.folder / "desk.json").read_bytes())
    assert (document["asyncapi"], document["info"]["version"]) == ("3.1.0", "7.1")
    assert set(document["operations"]) == {spec.key for spec in Desk.__leveret__.methods.values()}
