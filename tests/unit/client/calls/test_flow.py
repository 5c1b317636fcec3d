from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from leveret.client.calls.flow import Flow
from leveret.errors import Busy, ConnectionLost, DeadlineExceeded, LeveretError
from tests.unit.client.calls.making import a_request


@dataclass
class Line:
    """A connection, as the test says."""

    blocked: str = ""
    closed: LeveretError | None = None
    paused: bool = False
    on_paused: list[Callable[[bool], None]] = field(default_factory=list)
    on_blocked: list[Callable[[str], None]] = field(default_factory=list)


@dataclass
class RequestPath:
    """The way that requests take, as the test says."""

    connection: Line = field(default_factory=Line)
    failure: LeveretError | None = None
    is_attached: bool = True
    in_flight: int = 0


class There:
    """:param connected: whether there was a connection before."""

    def __init__(self, *, connected: bool = True) -> None:
        self.way = RequestPath()
        self.held: list[bool] = []
        self.opened = 0
        self.flow = Flow(
            asyncio.get_running_loop(),
            self.way,
            max_in_flight=3,
            max_message_size=10,
            on_held=self.held.append,
            on_open=self._opened,
        )
        if connected:
            self.flow.watch(self.way.connection)

    def _opened(self) -> None:
        self.opened += 1


async def test_a_body_that_is_too_large_is_told_whose_limit_it_is() -> None:
    there, request = There(), a_request()
    assert there.flow.too_large(request.route, b"x" * 10) is None
    assert "the 10 of max_message_size" in str(there.flow.too_large(request.route, b"x" * 11))
    there.flow.broker_limit = 5
    assert "the broker takes no message of 6" in str(there.flow.too_large(request.route, b"x" * 6))
    assert there.flow.too_large(request.route, b"x" * 5) is None


async def test_requests_are_held_until_there_is_a_channel() -> None:
    there = There()
    there.way.is_attached = False
    there.flow.changed()
    assert (there.flow.is_open(), there.held, there.opened) == (False, [True], 0)
    waiting = asyncio.create_task(there.flow.ready(a_request(), 5.0))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    there.way.is_attached = True
    there.flow.changed()
    assert 4.0 < await waiting < 5.0
    assert (there.flow.is_open(), there.held, there.opened) == (True, [True, False], 1)


async def test_before_the_first_connection_a_call_waits_and_is_told_so() -> None:
    there = There(connected=False)
    there.way.is_attached = False
    there.flow.changed()
    assert there.held == [True]
    with pytest.raises(DeadlineExceeded, match="not connected yet: the first conn") as caught:
        await there.flow.ready(a_request(), 0.01)
    passed = caught.value
    assert (passed.executed, passed.where, passed.attempts) == ("no", "client", 0)
    error = there.flow.refusal(a_request().route)
    assert isinstance(error, ConnectionLost)
    assert error.executed == "no"
    there.way.failure = ConnectionLost("nobody listens")
    assert there.flow.obstacle() == "not connected: nobody listens"
    there.flow.watch(there.way.connection)
    there.way.is_attached = True
    there.flow.changed()
    assert there.held == [True, False]


async def test_it_tells_once_that_requests_may_go_each_time_that_they_may_again() -> None:
    there = There()
    there.flow.changed()
    there.flow.changed()
    assert there.opened == 1
    there.way.connection.blocked = "memory"
    there.flow.changed()
    assert not there.flow.is_open()
    there.way.connection.blocked = ""
    there.flow.changed()
    assert there.opened == 2
    there.flow.stop("it is being replaced")
    assert not there.flow.is_open()
    there.flow.go("it is being replaced")
    assert there.opened == 3


def no_channel(there: There) -> None:
    there.way.is_attached = False


def broken(there: There) -> None:
    no_channel(there)
    there.way.failure = ConnectionLost("the socket broke")


def blocked(there: There) -> None:
    there.way.connection.blocked = "memory"


def stopped(there: There) -> None:
    there.flow.stop("it is being replaced")


def paused(there: There) -> None:
    there.way.connection.paused = True


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (no_channel, "the client's channel is being restored"),
        (broken, "not connected: the socket broke"),
        (blocked, "the broker takes no publishes now: memory"),
        (stopped, "it is being replaced"),
        (paused, "the broker did not take what was sent before"),
    ],
)
async def test_a_call_that_waits_for_too_long_is_told_for_what(
    harm: Callable[[There], None], words: str
) -> None:
    there = There()
    there.flow.changed()
    harm(there)
    there.flow.changed()
    with pytest.raises(DeadlineExceeded, match=words) as caught:
        await there.flow.ready(a_request(), 0.01)
    error = caught.value
    assert (error.where, error.executed, error.attempts) == ("client", "no", 0)


async def test_a_call_that_does_not_want_to_wait_is_told_at_once() -> None:
    there = There()
    broken(there)
    with pytest.raises(ConnectionLost) as caught:
        await there.flow.ready(a_request(wait_for_connection=False), 5.0)
    assert (caught.value.executed, caught.value.attempts) == ("no", 0)


async def test_those_that_wait_count_among_the_calls_in_flight() -> None:
    there = There()
    there.way.in_flight = 2
    waiting = asyncio.create_task(there.flow.ready(a_request(), 5.0))
    await asyncio.sleep(0)
    with pytest.raises(Busy, match="3 calls are in flight already") as caught:
        await there.flow.ready(a_request(), 5.0)
    assert caught.value.attempts == 0
    waiting.cancel()
    await asyncio.wait({waiting})
    there.flow.changed()
    await there.flow.ready(a_request(), 5.0)


async def test_a_refusal_says_what_is_wrong_with_the_call_or_with_the_connection() -> None:
    there = There()
    there.flow.changed()
    route = a_request().route
    assert "take 11 bytes" in str(there.flow.refusal(route, b"x" * 11))
    assert "calls are in flight already" in str(there.flow.refusal(route))
    blocked(there)
    assert type(there.flow.refusal(route)) is Busy
    broken(there)
    there.way.connection.blocked = ""
    lost = there.flow.refusal(route)
    assert (type(lost), lost.executed) == (ConnectionLost, "no")


async def test_a_socket_that_takes_no_more_holds_callers_but_not_what_must_go() -> None:
    there = There()
    there.flow.watch(there.way.connection)
    there.flow.watch(there.way.connection)
    there.flow.changed()
    (on_paused,) = there.way.connection.on_paused
    there.way.connection.paused = True
    on_paused(True)
    assert (there.held, there.flow.is_open()) == ([True, False, True], True)
    there.way.connection.paused = False
    on_paused(False)
    assert (there.held[-1], there.opened) == (False, 1)


async def test_at_the_end_nobody_waits_and_each_call_is_told_why() -> None:
    there = There()
    no_channel(there)
    waiting = asyncio.create_task(there.flow.ready(a_request(), 5.0))
    await asyncio.sleep(0)
    there.flow.end(ConnectionLost("the client was closed"))
    await waiting
    assert "the client was closed" in str(there.flow.refusal(a_request().route))
    assert not there.flow.is_open()
