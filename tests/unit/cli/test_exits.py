"""Every error has an exit code, and every code its meaning in --help."""

from __future__ import annotations

import pytest

import leveret.errors
from leveret.cli.exits import EXIT_CODES, UNEXPECTED, codes_help, exit_code
from leveret.cli.targets import TargetError
from leveret.errors import AMQPError, LeveretError


class SoldOut(leveret.DeclaredError):
    """There is none left."""


ROOTS = {"LeveretError", "CallError", "DeclaredError", "AMQPError"}
RAISED = [
    kind
    for name in leveret.errors.__all__
    if isinstance(kind := getattr(leveret.errors, name), type)
    and issubclass(kind, LeveretError)
    and name not in ROOTS
]


def made(kind: type[LeveretError]) -> LeveretError:
    return kind(320, "gone") if issubclass(kind, AMQPError) else kind("why")


@pytest.mark.parametrize("kind", [*RAISED, SoldOut, TargetError])
def test_an_error_has_a_code_of_its_own_kind_that_help_tells(kind: type[LeveretError]) -> None:
    error = SoldOut() if kind is SoldOut else made(kind)
    code = exit_code(error)
    assert code in EXIT_CODES
    assert code not in {0, UNEXPECTED}


@pytest.mark.parametrize("kind", RAISED)
def test_the_meaning_of_a_code_names_the_error(kind: type[LeveretError]) -> None:
    meaning = EXIT_CODES[exit_code(made(kind))]
    belongs_to = {
        "ConnectionClosed": "ConnectionLost",
        "ChannelClosed": "AMQP",
        "ProtocolError": "AMQP",
    }
    assert belongs_to.get(kind.__name__, kind.__name__) in meaning


def test_what_is_no_error_of_leveret_is_unexpected() -> None:
    assert exit_code(ZeroDivisionError()) == UNEXPECTED == 70


def test_help_has_one_line_for_each_code() -> None:
    assert codes_help((0, 4)).splitlines() == [
        "Exit codes:",
        "  0  done (a server: drained within its grace);",
        "  4  Unimplemented",
    ]
