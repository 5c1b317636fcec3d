"""What becomes of requests that the broker gave back or did not take."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from leveret.client.calls.life import (
    MOST_RESENDS,
    TRANSITIONS,
    Act,
    Event,
    Pending,
    State,
    remember,
)
from leveret.client.calls.returns import BOUND_WITHIN, Returns
from leveret.client.calls.route import Finding, QueueState, Route
from leveret.errors import LeveretError
from leveret.wire.timing import DECLARED_AGAIN_WITHIN
from tests.behaviour.patience import until
from tests.unit.client.calls.making import a_call
from tests.unit.client.calls.making import found as a_finding


class There:
    """Returns, with a queue that is as the test says."""

    def __init__(self, found: tuple[int, int] | QueueState | None = None) -> None:
        self.now = 1000.0
        self.found = found
        """Consumers and messages; None where no probe is possible."""
        self.probes = 0
        self.replaced = 0
        self.asked_servers: list[Route] = []
        self.unbound: list[Route] = []
        self.events: list[tuple[str, Event]] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.returns = Returns(
            begin=asyncio.create_task,
            fire=self.fire,
            probe=self._probe,
            ask_servers=self._ask_servers,
            replace_channel=self._replace,
            unbound=self.unbound.append,
            time=lambda: self.now,
        )

    def fire(self, call: Pending, event: Event, cause: LeveretError | None = None, /) -> Act:
        after, act = TRANSITIONS[call.state, event]
        remember(call, event, act, self.now)
        call.state = after
        self.events.append((call.id, event))
        return act

    async def _probe(self, route: Route) -> bool:
        self.probes += 1
        await self.hold.wait()
        if self.found is None:
            return False
        state, consumers, messages = QueueState.THERE, 0, 0
        if isinstance(self.found, QueueState):
            state = self.found
        else:
            consumers, messages = self.found
        route.probed(
            Finding(
                state=state,
                asked_at=self.now,
                found_at=self.now,
                consumers=consumers,
                messages=messages,
            )
        )
        return True

    async def _ask_servers(self, route: Route) -> None:
        self.asked_servers.append(route)

    async def _replace(self) -> None:
        self.replaced += 1

    def came_back(self, event: Event, **options: Any) -> Pending:
        call = a_call(started=self.now, **options)
        self.again(call, event)
        return call

    def again(self, call: Pending, event: Event) -> None:
        assert self.fire(call, event) is Act.PROBE
        self.events.clear()
        self.returns.add(call)

    async def told(self, call: Pending) -> Event:
        await until(lambda: any(call_id == call.id for call_id, _ in self.events), "it is told")
        return next(event for call_id, event in self.events if call_id == call.id)


async def test_an_expired_request_is_explained_even_if_no_probe_is_possible() -> None:
    for found in ((1, 0), None):
        there = There(found)
        assert await there.told(there.came_back(Event.EXPIRY)) is Event.EXPLAINED


@pytest.mark.parametrize(
    ("backlog", "options", "asked"),
    [(3, {}, True), (0, {}, False), (3, {"if_busy_fail": True}, False)],
)
async def test_servers_are_asked_who_they_are_if_a_request_expired_in_a_backlog(
    backlog: int, options: dict[str, Any], asked: bool
) -> None:
    there = There((1, 2))
    call = a_call(started=there.now, **options)
    call.route.probed(a_finding(1, backlog, at=there.now))
    there.now += 1
    there.again(call, Event.EXPIRY)
    assert await there.told(call) is Event.EXPLAINED
    assert there.asked_servers == ([call.route] if asked else [])


@pytest.mark.parametrize(
    ("found", "event"),
    [
        ((1, 0), Event.QUEUE_RETURNS),
        ((0, 3), Event.QUEUE_RETURNS),
        (QueueState.DOWN, Event.QUEUE_RETURNS),
        (QueueState.MISSING, Event.NO_QUEUE),
        (None, Event.NO_QUEUE),
    ],
)
async def test_a_request_without_a_queue_goes_out_again_if_the_queue_may_return(
    found: tuple[int, int] | QueueState | None, event: Event
) -> None:
    there = There(found)
    call = there.came_back(Event.NO_ROUTE)
    assert await there.told(call) is event
    assert not there.unbound


async def test_a_queue_that_is_there_for_a_while_and_gets_nothing_has_lost_its_binding() -> None:
    there = There((1, 0))
    call = a_call(started=there.now)
    for passed, unbound in ((0.0, []), (BOUND_WITHIN - 0.1, []), (BOUND_WITHIN, [call.route])):
        there.now = 1000.0 + passed
        there.again(call, Event.NO_ROUTE)
        assert await there.told(call) is Event.QUEUE_RETURNS
        assert there.unbound == unbound
        there.fire(call, Event.RESEND)


async def test_a_request_that_is_too_large_to_go_again_has_the_queue_bound_at_once() -> None:
    there = There((1, 0))
    call = a_call(started=there.now)
    call.body = None
    there.again(call, Event.NO_ROUTE)
    assert await there.told(call) is Event.NO_QUEUE
    assert there.unbound == [call.route]


async def test_a_queue_whose_server_was_seen_may_be_declared_again_for_a_while() -> None:
    there = There(QueueState.MISSING)
    call = a_call(started=there.now)
    call.route.heard(there.now - 60)
    for passed, event in (
        (0.0, Event.QUEUE_RETURNS),
        (DECLARED_AGAIN_WITHIN - 0.1, Event.QUEUE_RETURNS),
        (DECLARED_AGAIN_WITHIN + 0.1, Event.NO_QUEUE),
    ):
        there.now = 1000.0 + passed
        there.again(call, Event.NO_ROUTE)
        assert await there.told(call) is event
        if event is Event.QUEUE_RETURNS:
            there.fire(call, Event.RESEND)


async def test_a_new_connection_gives_the_queue_that_time_again() -> None:
    there = There(QueueState.MISSING)
    call = a_call(started=there.now)
    call.route.heard(there.now)
    there.again(call, Event.NO_ROUTE)
    assert await there.told(call) is Event.QUEUE_RETURNS
    there.now += 2 * DECLARED_AGAIN_WITHIN
    there.returns.connection_changed()
    there.fire(call, Event.RESEND)
    there.again(call, Event.NO_ROUTE)
    assert await there.told(call) is Event.QUEUE_RETURNS


async def test_a_request_without_its_body_cannot_go_out_again() -> None:
    there = There((1, 0))
    call = a_call(started=there.now)
    call.body = None
    there.again(call, Event.NO_ROUTE)
    assert await there.told(call) is Event.NO_QUEUE


@pytest.mark.parametrize(
    ("found", "repeatable", "event", "replaced"),
    [
        ((1, 5), True, Event.QUEUE_FULL, 0),
        ((1, 5), False, Event.QUEUE_FULL, 0),
        ((1, 0), True, Event.NEEDS_CHANNEL, 1),
        ((1, 0), False, Event.QUEUE_FULL, 1),
        ((0, 0), False, Event.NOT_TAKEN, 1),
        (QueueState.DOWN, True, Event.QUEUE_AWAY, 0),
        (QueueState.MISSING, True, Event.QUEUE_AWAY, 0),
        (QueueState.DOWN, False, Event.NOT_TAKEN, 0),
        (None, True, Event.NEEDS_CHANNEL, 1),
    ],
)
async def test_a_refused_request_is_told_of_a_full_queue_or_goes_out_again_if_it_may(
    found: tuple[int, int] | QueueState | None, repeatable: bool, event: Event, replaced: int
) -> None:
    there = There(found)
    assert await there.told(there.came_back(Event.NACK, idempotent=repeatable)) is event
    await until(lambda: there.replaced == replaced, "the channel is replaced")
    assert there.returns.is_replacing is False


async def test_a_queue_that_is_known_to_have_no_limit_is_not_full() -> None:
    there = There((1, 5))
    call = a_call(started=there.now, idempotent=True)
    call.route.described(limited=False)
    there.again(call, Event.NACK)
    assert await there.told(call) is Event.FULL_HERE


async def test_a_queue_that_refuses_on_another_channel_as_well_is_bounded_by_a_policy() -> None:
    there = There((1, 5))
    call = a_call(started=there.now, idempotent=True)
    call.route.described(limited=False)
    there.again(call, Event.NACK)
    assert await there.told(call) is Event.FULL_HERE
    there.now += 1
    there.returns.connection_changed()
    there.fire(call, Event.SENDABLE)
    there.again(call, Event.NACK)
    assert await there.told(call) is Event.QUEUE_FULL
    assert call.route.limited is False  # a policy may let it drop what is old
    # From now on it is known.
    for repeatable in (True, False):
        other = there.came_back(Event.NACK, idempotent=repeatable, route=call.route)
        assert await there.told(other) is Event.QUEUE_FULL
    assert there.replaced == 1


async def test_a_call_that_may_not_be_repeated_has_its_channel_looked_into_only_once() -> None:
    there = There((1, 5))
    route = Route("gate.once", "leveret.gate.once", "gate")
    route.described(limited=False)
    for _ in range(3):
        call = there.came_back(Event.NACK, route=route)
        assert await there.told(call) is Event.QUEUE_FULL
        await until(lambda: not there.returns.is_replacing, "the channel is replaced")
        there.now += 1
        there.returns.connection_changed()
    assert there.replaced == 1


async def test_a_request_that_is_refused_again_and_again_is_given_up() -> None:
    there = There((1, 0))
    call = a_call(started=there.now, idempotent=True)
    call.ensure_trouble().resends = MOST_RESENDS
    there.again(call, Event.NACK)
    assert await there.told(call) is Event.QUEUE_FULL


async def test_one_probe_explains_all_of_a_queue_and_a_second_one_those_that_came_meanwhile() -> (
    None
):
    there = There((1, 0))
    there.hold.clear()
    route = Route("gate.once", "leveret.gate.once", "gate")
    calls = [there.came_back(Event.EXPIRY, route=route) for _ in range(20)]
    await until(lambda: there.probes == 1, "the first is probed for")
    calls += [there.came_back(Event.EXPIRY, route=route) for _ in range(20)]
    other = there.came_back(Event.EXPIRY, route=Route("gate.b", "leveret.gate.b", "gate"))
    there.events.clear()
    there.hold.set()
    for call in (*calls, other):
        assert await there.told(call) is Event.EXPLAINED
    assert there.probes == 3


async def test_a_call_that_went_on_meanwhile_is_told_nothing() -> None:
    there = There((1, 0))
    there.hold.clear()
    call = there.came_back(Event.NO_ROUTE, idempotent=True)
    await until(lambda: there.probes == 1, "it is probed for")
    there.fire(call, Event.CHANNEL_GONE)
    other = there.came_back(Event.EXPIRY, route=call.route)
    there.hold.set()
    await there.told(other)
    assert call.state is State.UNSENT
    assert (call.id, Event.QUEUE_RETURNS) not in there.events
