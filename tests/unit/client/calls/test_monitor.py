"""Which calls are looked after when, and what a probe says of them. The clock is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from leveret.client.calls.life import (
    REPEATABLE_ONLY,
    TRANSITIONS,
    Act,
    Event,
    Pending,
    State,
    remember,
)
from leveret.client.calls.monitor import MOST_BESIDE, Monitor
from leveret.client.calls.request import InPipe
from leveret.client.calls.route import Finding, QueueState, Route
from leveret.errors import LeveretError
from leveret.wire.timing import (
    ANNOUNCE_AFTER,
    DECLARED_AGAIN_WITHIN,
    NO_SERVER_EARLIEST,
    NOTICE_IN_TRANSIT,
    NOTICE_TRUSTED_FOR,
    PROBE_AFTER,
    QUERY_ANSWERED_WITHIN,
    SERVERS_RETURN_WITHIN,
)
from tests.unit.client.calls.making import HandLoop, a_call

LATE = 0.006
"""Seconds by which a timer of the wheel may be late, and a bit."""


class There:
    """A monitor with queues that are as the test says."""

    def __init__(self) -> None:
        self.loop = HandLoop()
        self.calls: dict[str, Pending] = {}
        self.queues: dict[Route, tuple[int, int] | QueueState] = {}
        self.probed: list[tuple[str, float]] = []
        self.events: list[tuple[str, Event]] = []
        self.queries: list[list[str]] = []
        self.resent: list[str] = []
        self.unconfirmed: set[str] = set()
        self.broker_checks = 0
        self.deferred: list[Callable[[], None]] = []
        self.answer = asyncio.Event()
        """Until this is set, probes are not answered."""
        self.answer.set()
        self.monitor = Monitor(
            self.loop,
            self.calls,
            begin=asyncio.create_task,
            fire=self.fire,
            defer=self.deferred.append,
            probe=self._probe,
            check_broker=self._check_broker,
            is_unconfirmed=lambda call: call.id in self.unconfirmed,
            query=lambda _route, ids: self.queries.append(ids),
            resend=self._resend,
        )

    def send(self, *, timeout: float = 10.0, route: Route | None = None, **options: Any) -> Pending:
        """As `Client.send` has calls looked after."""
        call = a_call(started=self.loop.now, timeout=timeout, route=route, **options)
        self.calls[call.id] = call
        if not self.monitor.is_watching or timeout < 2 * PROBE_AFTER:
            self.monitor.watch(call)
        return call

    def write(self) -> None:
        """As the writer does just before it writes."""
        deferred, self.deferred[:] = list(self.deferred), []
        for callback in deferred:
            callback()

    def end(self, call: Pending) -> None:
        self.fire(call, Event.DEADLINE)

    def fire(self, call: Pending, event: Event, cause: LeveretError | None = None, /) -> Act:
        assert event not in REPEATABLE_ONLY or call.request.repeatable
        after, act = TRANSITIONS[call.state, event]
        remember(call, event, act, self.loop.now)
        call.state = after
        if after is State.ENDED:
            del self.calls[call.id]
        self.events.append((call.id, event))
        return act

    def _resend(self, call: Pending) -> None:
        self.resent.append(call.id)
        self.fire(call, Event.STILL_MISSING)

    def _check_broker(self) -> None:
        self.broker_checks += 1

    async def _probe(self, route: Route) -> bool:
        now = self.loop.now
        self.probed.append((route.queue, now))
        route.asked(now)
        route.probe_sent(now)
        await self.answer.wait()
        found = self.queues.get(route, (1, 0))
        if isinstance(found, QueueState):
            route.probed(Finding(state=found, asked_at=now, found_at=now))
        else:
            consumers, messages = found
            route.probed(
                Finding(
                    state=QueueState.THERE,
                    asked_at=now,
                    found_at=now,
                    consumers=consumers,
                    messages=messages,
                )
            )
        route.answered()
        return True

    async def judged(self) -> None:
        """The pause for notices that are on their way is over."""
        await asyncio.sleep(NOTICE_IN_TRANSIT * 2)

    def when(self, call: Pending) -> float:
        """How long after a call was sent its queue was probed first."""
        queue = call.route.queue
        return min(at for name, at in self.probed if name == queue and at > call.started) - (
            call.started
        )


def a_route(name: str = "a") -> Route:
    return Route(f"gate.{name}", f"leveret.gate.{name}", "gate")


# -- when --------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0.02, 0.1, 0.15, 0.4, 0.5, 1.0, 30.0])
async def test_a_call_is_looked_after_a_quarter_second_on_or_half_way_to_its_deadline(
    timeout: float,
) -> None:
    there = There()
    call = there.send(timeout=timeout)
    await there.loop.advance(1.0)
    due = min(PROBE_AFTER, timeout / 2)
    assert due <= there.when(call) <= due + LATE


async def test_each_call_is_looked_after_at_its_own_time_whatever_was_sent_before_it() -> None:
    """Not by the order in which they were sent, nor by what their neighbours wait for."""
    there = There()
    sent: list[Pending] = []
    for number in range(60):
        timeout = (10.0, 0.15, 30.0, 0.3, 0.06)[number % 5]
        sent.append(there.send(timeout=timeout, route=a_route(f"{number}")))
        await there.loop.advance(0.013)
    await there.loop.advance(1.0)
    for call in sent:
        due = min(PROBE_AFTER, call.timeout / 2)
        assert due <= there.when(call) <= due + LATE, call.timeout


async def test_short_calls_of_one_queue_are_probed_for_before_their_deadlines() -> None:
    """The queue of a waiting call is probed for it already; the next check comes soon enough."""
    there = There()
    route = a_route()
    there.send(timeout=60, route=route)
    for _ in range(30):
        call = there.send(timeout=0.15, route=route)
        await there.loop.advance(0.15)
        assert 0.075 <= there.when(call) <= 0.075 + 0.05 + LATE
        there.end(call)
        await there.loop.advance(0.017)


async def test_no_call_is_told_that_it_has_no_server_before_a_server_need_not_ask() -> None:
    there = There()
    call = there.send(timeout=0.1)
    there.queues[call.route] = (0, 1)
    await there.loop.advance(NO_SERVER_EARLIEST - 0.001)
    assert there.probed == []


async def test_calls_that_end_in_time_cost_no_timer_and_no_probe() -> None:
    there = There()
    for _ in range(1_000):
        there.end(there.send())
    assert there.loop.timers == 1  # the one that notes new calls
    await there.loop.advance(2.0)
    assert (there.probed, there.loop.timers) == ([], 0)
    assert not there.monitor.is_watching
    await there.loop.advance(0.1)
    call = there.send()
    await there.loop.advance(1.0)
    assert PROBE_AFTER <= there.when(call) <= PROBE_AFTER + LATE


async def test_a_queue_whose_calls_are_served_is_probed_once_a_second() -> None:
    there = There()
    call = there.send(timeout=60)
    await there.loop.advance(0.3)
    there.fire(call, Event.RUNS)
    await there.loop.advance(10.0)
    assert 9 <= len(there.probed) <= 12


async def test_a_stream_that_a_server_sends_is_not_looked_after() -> None:
    there = There()
    call = there.send(timeout=60)
    there.fire(call, Event.BEGINS)
    await there.loop.advance(10.0)
    assert there.probed == []
    later = there.send(timeout=60)
    await there.loop.advance(0.4)
    there.fire(later, Event.BEGINS)
    probed = len(there.probed)
    await there.loop.advance(10.0)
    assert len(there.probed) == probed


async def test_a_queue_with_requests_that_wait_is_probed_four_times_a_second() -> None:
    there = There()
    route = a_route()
    there.queues[route] = (1, 5)
    for _ in range(500):  # all of them one after the other
        there.send(timeout=60, route=route)
        await there.loop.advance(0.004)
    assert len(there.probed) <= 21  # and not once for each call that is due
    await there.loop.advance(0.4)
    began = len(there.probed)
    await there.loop.advance(10.0)
    assert 38 <= len(there.probed) - began <= 42


async def test_the_broker_is_checked_while_calls_wait() -> None:
    there = There()
    call = there.send(timeout=60)
    await there.loop.advance(2.0)
    assert there.broker_checks >= 7
    there.end(call)
    await there.loop.advance(1.0)
    checks = there.broker_checks
    await there.loop.advance(5.0)
    assert there.broker_checks == checks


async def test_a_probe_that_hangs_is_not_joined_by_another() -> None:
    there = There()
    call = there.send()
    call.route.asked(there.loop.now)
    await there.loop.advance(3.0)
    assert there.probed == []
    call.route.answered()
    await there.loop.advance(0.1)
    assert len(there.probed) == 1


async def test_one_probe_is_asked_beside_the_calls_that_leave_in_one_write() -> None:
    there = There()
    route, other = a_route(), a_route("b")
    for _ in range(2):
        for _ in range(100):
            there.monitor.probe_beside(route, there.loop.now)
            there.monitor.probe_beside(other, there.loop.now)
        assert there.probed == []  # requests may follow in the same write
        there.write()
        await asyncio.sleep(0)
        assert [queue for queue, _ in there.probed] == [route.queue, other.queue]
        await there.loop.advance(0.001)
        there.probed.clear()


async def test_a_write_that_never_came_does_not_keep_the_next_probe_from_being_asked() -> None:
    there = There()
    route = a_route()
    there.monitor.probe_beside(route, there.loop.now)
    there.deferred.clear()
    there.monitor.connection_changed()
    there.monitor.probe_beside(route, there.loop.now)
    there.write()
    await asyncio.sleep(0)
    assert len(there.probed) == 1


async def test_few_probes_beside_calls_are_under_way_at_a_time_and_the_rest_have_the_next() -> None:
    there = There()
    route = a_route()
    there.answer.clear()
    for _ in range(MOST_BESIDE + 3):
        there.monitor.probe_beside(route, there.loop.now)
        there.write()
        await asyncio.sleep(0)
    assert len(there.probed) == MOST_BESIDE
    there.answer.set()
    for _ in range(4):
        await asyncio.sleep(0)
    assert len(there.probed) == MOST_BESIDE + 1
    assert route.unwatched_until < there.loop.now


async def test_closed_it_looks_after_nobody() -> None:
    there = There()
    there.send()
    there.monitor.close()
    await there.loop.advance(5.0)
    assert there.probed == []


# -- what a probe says -------------------------------------------------------------------------


async def test_a_call_that_nobody_will_take_is_told_so() -> None:
    there = There()
    call = there.send()
    there.queues[call.route] = (0, 1)
    await there.loop.advance(0.3)
    await there.judged()
    assert there.events == [(call.id, Event.NO_SERVER)]


async def test_only_as_many_calls_are_given_up_as_the_queue_holds_the_youngest() -> None:
    there = There()
    route = a_route()
    old, middle, young = (there.send(route=route) for _ in range(3))
    old.started, middle.started = old.started - 2, middle.started - 1
    there.queues[route] = (0, 2)
    await there.loop.advance(0.3)
    await there.judged()
    assert {call_id for call_id, _ in there.events} == {middle.id, young.id}
    assert old.state is State.QUIET


@pytest.mark.parametrize("event", [Event.RUNS, Event.WAITS])
async def test_a_call_that_a_server_has_is_not_given_up(event: Event) -> None:
    there = There()
    call = there.send()
    there.queues[call.route] = (0, 1)
    there.fire(call, event)
    await there.loop.advance(1.0)
    await there.judged()
    assert there.calls


async def test_a_notice_that_was_on_its_way_saves_a_call() -> None:
    there = There()
    call = there.send()
    there.queues[call.route] = (0, 1)
    await there.loop.advance(0.3)
    there.fire(call, Event.RUNS)
    await there.judged()
    assert call.state is State.RUNNING


async def test_a_call_that_waits_for_a_server_is_not_given_up() -> None:
    there = There()
    call = there.send(wait_for_server=True)
    there.queues[call.route] = (0, 1)
    await there.loop.advance(1.0)
    await there.judged()
    assert call.state is State.QUIET


async def test_a_call_that_must_not_wait_is_given_up_behind_others_where_no_server_has_it() -> None:
    there = There()
    route = a_route()
    hurried = there.send(route=route, if_busy_fail=True, timeout=60)
    patient = there.send(route=route, timeout=60)
    there.queues[route] = (1, 2)
    await there.loop.advance(2 * ANNOUNCE_AFTER)
    await there.judged()
    assert there.events == []
    await there.loop.advance(2 * PROBE_AFTER + LATE)
    await there.judged()
    assert there.events == [(hurried.id, Event.BACKLOG)]
    assert patient.state is State.QUIET


async def test_a_call_that_must_not_wait_goes_on_where_a_server_has_it() -> None:
    there = There()
    announced = there.send(if_busy_fail=True, timeout=60)
    silent = there.send(if_busy_fail=True, timeout=60, route=a_route())
    there.fire(announced, Event.RUNS)
    await there.loop.advance(0.3)  # nothing waits: what is not in the queue is at a server
    there.queues[announced.route] = there.queues[silent.route] = (1, 2)
    await there.loop.advance(5.0)
    await there.judged()
    assert (announced.state, silent.state) == (State.RUNNING, State.QUIET)


async def test_after_a_reconnect_servers_have_time_to_return() -> None:
    there = There()
    there.monitor.connection_changed()
    call = there.send(timeout=60)
    there.queues[call.route] = (0, 1)
    await there.loop.advance(SERVERS_RETURN_WITHIN - 0.3)
    await there.judged()
    assert call.state is State.QUIET
    await there.loop.advance(1.0)
    await there.judged()
    assert there.events == [(call.id, Event.NO_SERVER)]


async def test_a_queue_whose_node_is_down_is_a_sign_of_nothing_and_its_servers_return() -> None:
    there = There()
    call = there.send(timeout=60)
    there.queues[call.route] = QueueState.DOWN
    await there.loop.advance(10.0)
    there.queues[call.route] = (0, 1)
    await there.loop.advance(SERVERS_RETURN_WITHIN - 0.3)
    await there.judged()
    assert call.state is State.QUIET
    await there.loop.advance(1.0)
    await there.judged()
    assert there.events == [(call.id, Event.NO_SERVER)]


async def test_a_deleted_queue_ends_calls_that_may_not_be_repeated_at_once() -> None:
    there = There()
    call = there.send()
    there.queues[call.route] = QueueState.MISSING
    await there.loop.advance(0.6)
    await there.judged()
    assert there.events == [(call.id, Event.QUEUE_DELETED)]


async def test_a_deleted_queue_ends_other_calls_if_it_is_not_declared_again() -> None:
    there = There()
    call = there.send(idempotent=True)
    there.queues[call.route] = QueueState.MISSING
    await there.loop.advance(DECLARED_AGAIN_WITHIN)
    await there.judged()
    assert there.events == [(call.id, Event.QUEUE_GONE)]
    await there.loop.advance(1.0)
    await there.judged()
    assert there.events[1:] == [(call.id, Event.QUEUE_DELETED)]


async def test_a_deleted_queue_that_is_declared_again_has_its_call_sent_again() -> None:
    there = There()
    call = there.send(idempotent=True)
    there.queues[call.route] = QueueState.MISSING
    await there.loop.advance(0.6)
    there.queues[call.route] = (1, 0)
    await there.loop.advance(1.0)
    assert there.resent == [call.id]


async def test_a_call_that_nobody_has_is_sought_and_sent_again_if_nobody_answers() -> None:
    there = There()
    call = there.send(idempotent=True, timeout=60)
    await there.loop.advance(PROBE_AFTER + LATE)
    assert (there.queries, there.resent) == ([[call.id]], [])
    await there.loop.advance(QUERY_ANSWERED_WITHIN + 0.2)
    assert there.resent == [call.id]
    assert call.resends == 1


async def test_each_further_copy_takes_twice_as_long_to_be_believed_lost() -> None:
    there = There()
    call = there.send(idempotent=True, timeout=600)
    sent_at = []
    while len(there.resent) < 4:
        copies = len(there.resent)
        await there.loop.advance(0.05)
        if len(there.resent) > copies:
            sent_at.append(there.loop.now)
    gaps = [later - earlier for earlier, later in pairwise(sent_at)]
    for number, gap in enumerate(gaps, 1):
        assert gap >= QUERY_ANSWERED_WITHIN * 2**number
    assert call.state is State.QUIET


async def test_a_call_is_sent_again_though_no_connection_lasts_for_long() -> None:
    there = There()
    call = there.send(idempotent=True, timeout=60)
    while len(there.resent) < 4 and there.loop.now - call.started < 20:
        there.monitor.connection_changed()
        call.route.connection_changed()
        there.fire(call, Event.CONNECTED_AGAIN)
        await there.loop.advance(1.0)
    assert len(there.resent) == 4


async def test_a_new_connection_is_no_reason_to_send_a_call_again_sooner() -> None:
    there = There()
    call = there.send(idempotent=True, timeout=60)
    while not there.resent:
        await there.loop.advance(0.05)
    sent_again = there.loop.now
    there.monitor.connection_changed()
    there.fire(call, Event.CONNECTED_AGAIN)
    while len(there.resent) < 2:
        await there.loop.advance(0.05)
    assert there.loop.now - sent_again > 2 * QUERY_ANSWERED_WITHIN


async def test_servers_have_their_time_to_answer_on_each_connection() -> None:
    there = There()
    call = there.send(idempotent=True, timeout=60)
    for _ in range(20):
        there.fire(call, Event.CONNECTED_AGAIN)
        call.route.connection_changed()
        await there.loop.advance(QUERY_ANSWERED_WITHIN - 0.05)
    assert there.resent == []


async def test_a_call_whose_server_answers_is_asked_for_again_before_it_is_sent_again() -> None:
    there = There()
    call = there.send(idempotent=True, timeout=60)
    await there.loop.advance(PROBE_AFTER + LATE)
    there.fire(call, Event.RUNS)
    await there.loop.advance(NOTICE_TRUSTED_FOR - 0.5)
    assert there.queries == [[call.id]]
    for asked in range(2, 8):
        while len(there.queries) < asked:
            await there.loop.advance(0.05)
        there.fire(call, Event.RUNS)
    assert there.loop.now - call.started >= 6 * NOTICE_TRUSTED_FOR
    assert there.resent == []


@pytest.mark.parametrize("repeatable", [False, True])
async def test_a_call_that_is_unconfirmed_or_may_not_be_repeated_is_not_sought(
    repeatable: bool,
) -> None:
    there = There()
    call = there.send(timeout=60, idempotent=repeatable)
    if repeatable:
        there.unconfirmed.add(call.id)
    await there.loop.advance(5.0)
    assert (there.queries, there.resent, there.events) == ([], [], [])


async def test_a_call_of_a_queue_whose_servers_hear_no_questions_is_not_sought() -> None:
    there = There()
    there.send(timeout=60, idempotent=True, route=Route("queue q", "q"))
    await there.loop.advance(5.0)
    assert (there.queries, there.resent) == ([], [])


async def test_a_call_that_came_back_is_for_others_to_explain() -> None:
    there = There()
    call = there.send()
    there.queues[call.route] = (0, 1)
    there.fire(call, Event.NO_ROUTE)
    await there.loop.advance(1.0)
    await there.judged()
    assert call.state is State.UNROUTED


async def test_a_pipe_is_looked_after_in_the_queue_of_its_stage() -> None:
    there = There()
    first, second = a_route("a"), a_route("b")
    pipe = InPipe(headers=b"", routes=[second])
    call = there.send(route=first, in_pipe=pipe)
    await there.loop.advance(PROBE_AFTER + LATE)
    assert {queue for queue, _ in there.probed} == {"leveret.gate.a"}
    call.request = call.request.stages[1]
    there.fire(call, Event.PASSED)
    there.monitor.passed(call)
    there.queues[first] = there.queues[second] = (0, 1)
    there.probed.clear()
    await there.loop.advance(PROBE_AFTER + LATE)
    await there.judged()
    assert there.probed[0][0] == "leveret.gate.b"
    assert there.events[-1] == (call.id, Event.NO_SERVER)


async def test_a_pipe_that_begins_anew_is_looked_after_in_the_queue_of_its_first_stage() -> None:
    there = There()
    first, second = a_route("a"), a_route("b")
    call = there.send(route=first, in_pipe=InPipe(headers=b"", routes=[second]))
    await there.loop.advance(PROBE_AFTER + LATE)
    call.request = call.request.stages[1]
    there.monitor.passed(call)
    await there.loop.advance(3 * PROBE_AFTER)  # it is looked after in the second queue only
    call.request = call.request.first
    there.probed.clear()
    await there.loop.advance(3 * PROBE_AFTER)
    assert there.probed[-1][0] == "leveret.gate.a"
