"""When a circuit opens, half-opens and closes, on a clock that tests move."""

from __future__ import annotations

from typing import Any

import pytest

from leveret import (
    Breaker,
    Busy,
    CallError,
    Cancelled,
    CircuitOpen,
    ConnectionLost,
    DeadlineExceeded,
    InvalidArgument,
    MaybeExecuted,
    NoServer,
    RemoteError,
    Unimplemented,
)
from leveret.client.policy.breaker import Circuit, State
from tests.unit.client.policy.hand_clock import HandClock

BREAKER = Breaker(ratio=0.5, volume=4, within=10, reset=1, most=3)


class Rig:
    """A circuit and its clock."""

    def __init__(self, breaker: Breaker = BREAKER) -> None:
        self.clock = HandClock()
        self.circuit = Circuit("shop", breaker, self.clock.time)

    def calls(self, *ends: CallError | None) -> None:
        """Calls that are let through and end so, one after the other."""
        for end in ends:
            self.circuit.ended(self.circuit.admit("shop.buy"), end)

    def state(self) -> State:
        return self.circuit.state

    def refusal(self) -> CircuitOpen:
        with pytest.raises(CircuitOpen) as caught:
            self.circuit.admit("shop.buy")
        return caught.value

    def open(self) -> None:
        self.calls(*[NoServer("none listens")] * 4)
        assert self.state() is State.OPEN


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_circuit_opens_when_too_many_calls_fail(rig: Rig) -> None:
    rig.calls(None, NoServer("a"), DeadlineExceeded("b"), Busy("c"))
    assert rig.state() is State.OPEN


def test_a_few_failures_say_nothing(rig: Rig) -> None:
    rig.calls(NoServer("a"), NoServer("b"), NoServer("c"))
    assert rig.state() is State.CLOSED


def test_failures_among_many_good_calls_say_nothing(rig: Rig) -> None:
    rig.calls(*[None, None, NoServer("a")] * 50)
    assert rig.state() is State.CLOSED


def test_old_failures_are_forgotten(rig: Rig) -> None:
    rig.calls(NoServer("a"), NoServer("b"), NoServer("c"))
    rig.clock.now += 11.5
    rig.calls(NoServer("d"))
    assert rig.state() is State.CLOSED


@pytest.mark.parametrize(
    "error",
    [
        ConnectionLost("cut"),
        Cancelled("stopped"),
        MaybeExecuted("died"),
        Unimplemented("no queue"),
        DeadlineExceeded("the broker took nothing", where="client"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_tells_nothing_of_the_service_does_not_count(rig: Rig, error: CallError) -> None:
    rig.calls(*[error] * 20, *[NoServer("x")] * 3)
    assert rig.state() is State.CLOSED


def test_an_error_of_the_handler_is_an_answer(rig: Rig) -> None:
    rig.calls(*[RemoteError("bug")] * 20, NoServer("x"))
    assert rig.state() is State.CLOSED


def test_an_open_circuit_says_why_and_until_when(rig: Rig) -> None:
    rig.calls(None, Busy("full"), NoServer("a"), NoServer("b"))
    rig.clock.now += 0.25
    error = rig.refusal()
    assert str(error) == (
        "shop.buy: not sent: the circuit of 'shop' has been open for 0.2 s, after 3 of 4 calls in"
        " 10 s failed (2 NoServer, 1 Busy); in 0.8 s one call is let through to try"
    )
    assert (error.service, error.open_for, error.retry_after) == ("shop", 0.25, 0.75)
    assert error.failures == {"NoServer": 2, "Busy": 1}
    assert (error.executed, error.attempts) == ("no", 0)
    assert rig.circuit.refuses_for() == 0.75


def test_one_call_tries_and_the_others_go_on_failing(rig: Rig) -> None:
    rig.open()
    rig.clock.now += 1
    ticket = rig.circuit.admit("shop.buy")
    assert ticket.probe
    error = rig.refusal()
    assert "one call is under way to try whether it answers again" in str(error)
    assert error.retry_after == 0


def refused_by_the_server() -> InvalidArgument:
    error = InvalidArgument("no")
    error.attempts = 1
    return error


@pytest.mark.parametrize("end", [None, RemoteError("bug"), refused_by_the_server()], ids=repr)
def test_an_answer_to_the_one_that_tries_closes_the_circuit(
    rig: Rig, end: CallError | None
) -> None:
    rig.open()
    rig.clock.now += 1
    rig.calls(end)
    assert rig.state() is State.CLOSED
    rig.calls(*[NoServer("a")] * 3)  # all is forgotten: it takes as many failures again
    assert rig.state() is State.CLOSED
    rig.calls(NoServer("a"))
    assert rig.refusal().retry_after == 1


def test_each_failed_try_doubles_the_wait_up_to_the_most(rig: Rig) -> None:
    rig.open()
    waits = []
    for _ in range(4):
        waits.append(rig.refusal().retry_after)
        rig.clock.now += waits[-1]
        rig.calls(Busy("still"))
    assert waits == [1, 2, 3, 3]
    assert rig.refusal().open_for == 9


def test_a_try_that_is_given_up_leaves_the_next_call_to_try(rig: Rig) -> None:
    rig.open()
    rig.clock.now += 1
    rig.circuit.told_nothing(rig.circuit.admit("shop.buy"))
    rig.calls(ConnectionLost("cut"))
    assert rig.circuit.admit("shop.buy").probe


def test_a_try_that_the_client_refuses_leaves_the_next_call_to_try(rig: Rig) -> None:
    rig.open()
    rig.clock.now += 1
    rig.calls(InvalidArgument("its metadata does not fit"))
    assert rig.circuit.admit("shop.buy").probe


def test_calls_from_before_do_not_decide_about_an_open_circuit(rig: Rig) -> None:
    slow = [rig.circuit.admit("shop.buy") for _ in range(3)]
    rig.open()
    rig.circuit.ended(slow[0], None)
    assert rig.state() is State.OPEN
    rig.clock.now += 1
    probe = rig.circuit.admit("shop.buy")
    rig.circuit.ended(slow[1], NoServer("late"))
    rig.circuit.told_nothing(slow[2])
    assert rig.state() is State.HALF_OPEN
    rig.circuit.ended(probe, None)
    assert rig.state() is State.CLOSED


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ratio": 0}, "Breaker: ratio is 0; it is a number above 0"),
        ({"within": 10**400}, "Breaker: within is 1000"),
        ({"reset": True}, "Breaker: reset is True; it is a number above 0"),
        ({"most": None}, "Breaker: most is None; it is a number above 0"),
        ({"volume": 2.5}, "Breaker: volume is 2.5; it is a whole number above 0"),
        ({"ratio": 1.5}, "ratio is 1.5; it is at most 1"),
        ({"volume": 0}, "volume is 0"),
        ({"within": float("nan")}, "within is nan"),
        ({"reset": "1"}, "reset is '1'"),
        ({"most": True}, "most is True"),
    ],
    ids=str,
)
def test_a_breaker_that_cannot_be_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Breaker(**values)


def test_what_this_client_had_no_place_for_says_nothing_of_the_service(rig: Rig) -> None:
    full = Busy("too many calls are in flight already")
    full.attempts = 0
    rig.calls(*[full] * 10)
    assert rig.state() is State.CLOSED
