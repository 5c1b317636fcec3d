"""The story is printed, and stops where something happens otherwise than it is told."""

from __future__ import annotations

import pytest

from leveret import Busy, CallError, MaybeExecuted, NoServer
from leveret.demo.narration import WIDTH, SurpriseError, expect, fails, section, show, tell


def test_titles_paragraphs_and_results_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    section("A title")
    tell("word " * 40)
    show("await fibonacci.fib(30)", 832040)
    printed = capsys.readouterr().out.splitlines()
    assert printed[1:3] == ["A title", "-------"]
    assert all(len(line) <= WIDTH and line.startswith("  ") for line in printed[3:])
    assert printed[-1].endswith("-> 832040")


def test_what_does_not_hold_is_a_surprise() -> None:
    expect(True, "all is well")
    with pytest.raises(SurpriseError, match="it is so"):
        expect([], "it is so")


class Calls:
    """Calls that end as they are told, one after the other."""

    def __init__(self, *ends: CallError | int) -> None:
        self.ends = list(ends)

    async def __call__(self) -> int:
        end = self.ends.pop(0)
        if isinstance(end, CallError):
            raise end
        return end


async def test_the_error_of_a_call_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    error = NoServer("nobody listens", executed="no")
    assert await fails("Nobody listens.", "x.y()", Calls(error), NoServer, "no") is error
    printed = capsys.readouterr().out
    assert "await x.y()" in printed
    assert "NoServer: nobody listens" in printed
    assert "executed: no" in printed


async def test_a_machine_that_stalls_is_given_another_try() -> None:
    calls = Calls(MaybeExecuted("it stalled"), NoServer("nobody listens", executed="no"), 7)
    await fails("", "", calls, NoServer, "no")
    assert calls.ends == [7]


@pytest.mark.parametrize(
    "end", [Busy("too many", executed="no"), NoServer("nobody", executed="yes"), 7]
)
async def test_another_end_is_a_surprise(end: CallError | int) -> None:
    with pytest.raises(SurpriseError, match="this should"):
        await fails("", "", Calls(end), NoServer, "no")
