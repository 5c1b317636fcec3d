"""What a caller is told when its call did not end with a result."""

from __future__ import annotations

import pytest

from leveret import Busy, DeadlineExceeded, DeclaredError, InvalidArgument, MaybeExecuted
from leveret.errors import Cancelled, RemoteError
from leveret.server.calls.life import Holding, ServerCall, State, Stop
from leveret.server.calls.outcome import executed, may_run_elsewhere, raised, stopped
from tests.unit.server.calls.making import SPEC, call


class OutOfInk(DeclaredError):
    """The desk has none left."""


def stopped_at(
    state: State, why: Stop, *, entered: bool = False, **properties: object
) -> ServerCall:
    made = call(**properties)  # type: ignore[arg-type]
    made.state, made.stop, made.entered = state, why, entered
    return made


@pytest.mark.parametrize(
    ("state", "why", "entered", "in_thread", "error", "text", "ran"),
    [
        (State.ASKED, Stop.CALLER, False, False, Cancelled, "nobody waited", "no"),
        (State.WAITING, Stop.DEADLINE, False, False, DeadlineExceeded, "before its handler", "no"),
        (State.WAITING, Stop.CALLER, False, False, Cancelled, "before its handler began", "no"),
        (State.STARTED, Stop.DRAIN, False, False, Cancelled, "before its handler began", "no"),
        (State.CLAIMING, Stop.DEADLINE, False, False, DeadlineExceeded, "before its", "maybe"),
        (State.CLAIMING, Stop.CALLER, False, False, Cancelled, "before its handler", "maybe"),
        (State.BEGUN, Stop.DEADLINE, False, True, DeadlineExceeded, "before its handler", "no"),
        (State.RUNNING, Stop.DEADLINE, True, False, DeadlineExceeded, "was cancelled", "yes"),
        (State.RUNNING, Stop.DEADLINE, True, True, DeadlineExceeded, "runs on in its", "yes"),
        (State.RUNNING, Stop.CALLER, True, False, Cancelled, "the caller cancelled", "maybe"),
        (State.RUNNING, Stop.DRAIN, True, False, Cancelled, "the server stopped", "maybe"),
        (State.RUNNING, Stop.NONE, True, False, Cancelled, "by itself", "maybe"),
    ],
)
def test_a_stopped_call_is_told_of_by_what_is_known_of_its_handler(
    state: State, why: Stop, entered: bool, in_thread: bool, error: type, text: str, ran: str
) -> None:
    told = stopped(stopped_at(state, why, entered=entered), state, in_thread=in_thread)
    assert type(told) is error
    assert text in told.message
    assert told.executed == ran


@pytest.mark.parametrize(
    ("entered", "where"), [(False, "queue"), (True, "handler")], ids=["before", "in"]
)
def test_a_deadline_tells_where_the_call_was(entered: bool, where: str) -> None:
    late = stopped_at(State.BEGUN, Stop.DEADLINE, entered=entered)
    told = stopped(late, late.state, in_thread=False)
    assert isinstance(told, DeadlineExceeded)
    assert told.where == where


def test_a_request_that_another_server_had_may_have_run() -> None:
    assert not may_run_elsewhere(call())
    assert may_run_elsewhere(call(redelivered=True))
    assert may_run_elsewhere(call(headers={"attempt": 1}))
    assert may_run_elsewhere(call(headers={"resent": True}))
    assert may_run_elsewhere(call(headers={"handed-back": True}))
    assert may_run_elsewhere(call(headers={"handed-back": False}))
    lost = call()
    lost.holding = Holding.DETACHED
    assert may_run_elsewhere(lost)


def test_what_has_entered_its_handler_has_run() -> None:
    assert executed(stopped_at(State.WAITING, Stop.NONE)) == "no"
    assert executed(stopped_at(State.ENDED, Stop.NONE, entered=True)) == "yes"


def test_a_handlers_own_errors_travel_as_they_are() -> None:
    running = stopped_at(State.RUNNING, Stop.NONE, entered=True)
    for error in (InvalidArgument("no such desk"), Busy("later", retry_after=2)):
        told = raised(running, error, SPEC, 0.0, send_tracebacks=False)
        assert told is error
        assert told.executed == "yes"


def test_an_error_of_a_nested_call_is_a_failure_of_the_handler() -> None:
    nested = Busy("the other service is busy", method="other.work")
    running = stopped_at(State.RUNNING, Stop.NONE, entered=True)
    told = raised(running, nested, SPEC, 0.0, send_tracebacks=False)
    assert isinstance(told, RemoteError)
    assert told.type_name == "Busy"


def test_a_declared_error_that_the_method_does_not_declare_is_a_failure() -> None:
    running = stopped_at(State.RUNNING, Stop.NONE, entered=True)
    told = raised(running, OutOfInk(), SPEC, 0.0, send_tracebacks=True)
    assert isinstance(told, RemoteError)
    assert "OutOfInk" in told.remote_traceback


@pytest.mark.parametrize(("left", "wanted"), [(0.01, DeadlineExceeded), (5.0, RemoteError)])
def test_a_nested_call_may_find_first_that_the_common_deadline_has_passed(
    left: float, wanted: type
) -> None:
    running = stopped_at(State.RUNNING, Stop.NONE, entered=True)
    running.ends = 100.0
    nested = DeadlineExceeded("too late", where="queue", method="other.work")
    told = raised(running, nested, SPEC, 100.0 - left, send_tracebacks=False)
    assert type(told) is wanted


def test_a_failure_in_a_worker_process_keeps_its_traceback_only_where_that_is_wanted() -> None:
    running = stopped_at(State.RUNNING, Stop.NONE, entered=True)
    for wanted in (True, False):
        failure = RemoteError("burnt", type_name="Fire", remote_traceback="in the cellar")
        told = raised(running, failure, SPEC, 0.0, send_tracebacks=wanted)
        assert isinstance(told, RemoteError)
        assert told.remote_traceback == ("in the cellar" if wanted else "")


def test_a_method_may_not_raise_that_it_may_have_run() -> None:
    running = stopped_at(State.RUNNING, Stop.NONE, entered=True)
    told = raised(running, MaybeExecuted("who knows"), SPEC, 0.0, send_tracebacks=False)
    assert isinstance(told, RemoteError)
