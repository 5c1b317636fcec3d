"""What finalizers complain of, and what invariants find of a table."""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any, cast

import pytest

from leveret.server.calls.life import State
from leveret.server.server import Server
from tests.simulation.invariants import of_calls
from tests.simulation.stand_ins import buried


class Raises:
    """Something whose finalizer raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __del__(self) -> None:
        raise self._error


def thrown_away(error: Exception) -> list[str]:
    """What is told of a finalizer that raises this."""
    with buried() as others:
        Raises(error)
        gc.collect()
    return others


@pytest.mark.parametrize("text", ["no running event loop", "coroutine ignored GeneratorExit"])
def test_that_dead_processes_are_closed_in_no_loop_is_no_mistake(text: str) -> None:
    assert thrown_away(RuntimeError(text)) == []


@pytest.mark.parametrize("error", [RuntimeError("another"), KeyError("no running event loop")])
def test_any_other_error_of_a_finalizer_is_told(error: Exception) -> None:
    (told,) = thrown_away(error)
    assert told.startswith(f"in a finalizer: {error!r} of ")


def test_a_call_that_is_kept_though_it_has_ended_is_found_at_once() -> None:
    def call(name: str, state: State, started: float | None = None) -> Any:
        incoming = SimpleNamespace(started=started)
        return SimpleNamespace(
            method="work.once", id=name, state=state, stream=None, incoming=incoming
        )

    calls = [
        call("a", State.RUNNING),
        call("b", State.ENDED),
        call("c", State.ENDED, started=60.0),  # the store has yet to note why it is refused
    ]
    server = cast(Server, SimpleNamespace(calls=lambda: calls))
    assert list(of_calls(server)) == ["work.once (call b) is kept though it has ended"]
