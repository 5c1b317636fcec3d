"""The life of a call, row by row and cell by cell, and the promises of docs/reliability.md."""

from __future__ import annotations

import itertools
import random
from typing import Final

import pytest

from leveret.client.calls.life import (
    LIVE,
    OUT,
    REPEATABLE_ONLY,
    TRANSITIONS,
    WAITING,
    Act,
    Event,
    Pending,
    State,
    Trouble,
    remember,
)
from leveret.client.calls.verdicts import FAILURES
from tests.unit.client.calls.cells import all_cells
from tests.unit.client.calls.making import a_call, a_pipe

CELLS: Final = all_cells()

AT_ANY_TIME: Final = (
    Event.REPLY,
    Event.WAITS,
    Event.RUNS,
    Event.CONFIRM,
    Event.TAKEN,
    Event.PASSED,
    Event.UNHEARD,
    Event.BEGINS,
    Event.NO_ROUTE,
    Event.EXPIRY,
    Event.FULL,
    Event.FULL_AGAIN,
    Event.REJECTED,
    Event.NACK,
    Event.NACK_BEFORE_CHANNEL,
    Event.QUEUE_RETURNS,
    Event.NO_QUEUE,
    Event.QUEUE_FULL,
    Event.QUEUE_AWAY,
    Event.NEEDS_CHANNEL,
    Event.FULL_HERE,
    Event.NOT_TAKEN,
    Event.RESEND,
    Event.RESEND_DOUBTFUL,
    Event.CHANNEL_GONE,
    Event.CHANNEL_LOST,
    Event.DROPPED,
    Event.DROPPED_LOST,
    Event.FORBIDDEN,
    Event.TOO_LARGE,
    Event.CONNECTED_AGAIN,
    Event.REPLY_QUEUE_GONE,
    Event.REPLY_QUEUE_LOST,
    Event.DEADLINE,
    Event.DEADLINE_UNCONFIRMED,
    Event.CALLER_GONE,
    Event.SENDER_GONE,
    Event.CLOSED,
    Event.CLOSED_UNCONFIRMED,
)
"""What may happen whatever the client thinks of the call: the world's doing, or a late answer."""

ONLY_IN: Final = {
    Event.EXPLAINED: {State.EXPIRED},
    Event.QUEUE_EMPTY: {State.QUIET, State.AT_SERVER, State.RUNNING},
    Event.QUEUE_GONE: {State.QUIET},
    Event.STILL_MISSING: {State.SOUGHT},
    Event.NO_SERVER: {State.QUIET, State.SOUGHT},
    Event.QUEUE_DELETED: {State.QUIET, State.SOUGHT},
    Event.BACKLOG: {State.QUIET, State.SOUGHT},
    Event.SENDABLE: {State.UNSENT},
    Event.SENDABLE_DOUBTFUL: {State.UNSENT},
    Event.KEY_LOST: {State.UNSENT, State.DELAYED, State.SOUGHT},
    Event.UNPACKABLE: {State.QUIET},
    Event.SERVER_GONE: {State.STREAMING},
    Event.RESUMES: {State.STREAMING},
    Event.SEND: {State.NEW},
}
"""What the client itself finds out, and only of calls that are there."""


@pytest.mark.parametrize("event", Event)
def test_an_event_makes_of_each_state_what_its_cell_says(event: Event) -> None:
    assert {state: TRANSITIONS.get((state, event)) for state in State} == {
        state: CELLS.get((state, event)) for state in State
    }


@pytest.mark.parametrize("event", AT_ANY_TIME)
def test_what_the_world_may_do_at_any_time_has_a_cell_for_each_live_state(event: Event) -> None:
    assert {state for state in State if (state, event) in TRANSITIONS} == set(LIVE)


@pytest.mark.parametrize(("event", "states"), ONLY_IN.items())
def test_what_the_client_finds_out_has_a_cell_where_it_can_be_found(
    event: Event, states: set[State]
) -> None:
    assert {state for state in State if (state, event) in TRANSITIONS} == states


def test_each_event_is_of_one_kind_and_each_act_and_state_is_reached() -> None:
    assert not set(AT_ANY_TIME) & set(ONLY_IN)
    assert set(AT_ANY_TIME) | set(ONLY_IN) == set(Event)
    assert {act for _, act in TRANSITIONS.values()} == set(Act)
    assert {state for state, _ in TRANSITIONS.values()} == set(State) - {State.NEW}


def test_names_of_events_states_and_acts_are_not_aliases() -> None:
    for kind in (State, Event, Act):
        assert len(list(kind)) == len(kind.__members__)


# -- the promises ------------------------------------------------------------------------------


@pytest.mark.parametrize("state", LIVE)
def test_each_call_ends_by_its_deadline_wherever_it_is(state: State) -> None:
    for event in (Event.DEADLINE, Event.DEADLINE_UNCONFIRMED):
        after, act = TRANSITIONS[state, event]
        assert after is State.ENDED
        assert act in FAILURES


@pytest.mark.parametrize("state", LIVE)
def test_a_reply_ends_a_call_wherever_it_is(state: State) -> None:
    assert TRANSITIONS[state, Event.REPLY] == (State.ENDED, Act.DELIVER)


def test_a_call_ends_with_a_reply_with_an_error_or_by_its_caller_and_is_over_then() -> None:
    ends = {act for after, act in TRANSITIONS.values() if after is State.ENDED}
    by_caller = {Act.CANCEL, Act.NOTHING}  # nobody is told of a one-way call
    assert ends == {Act.DELIVER, Act.DELIVER_CONFIRM} | by_caller | FAILURES
    for (before, _), (after, act) in TRANSITIONS.items():
        assert before is not State.ENDED
        assert (act in FAILURES) <= (after is State.ENDED)


def test_only_events_for_repeatable_calls_lead_to_a_second_copy() -> None:
    """The handler of a call that may not be repeated does not run twice."""
    for (before, event), (after, act) in TRANSITIONS.items():
        if act in (Act.PUBLISH_DOUBTFUL, Act.PUBLISH_LATER_DOUBTFUL) or after is State.UNSENT:
            unsent_stays = before is after is State.UNSENT
            assert event in REPEATABLE_ONLY or unsent_stays, (before, event)


def test_a_certain_copy_is_sent_only_of_a_request_that_the_broker_returned_or_dropped() -> None:
    assert [pair for pair, (_, act) in TRANSITIONS.items() if act is Act.PUBLISH_LATER] == [
        (State.UNROUTED, Event.QUEUE_RETURNS),
        (State.QUIET, Event.DROPPED),
        (State.SOUGHT, Event.DROPPED),
    ]
    assert [pair for pair, (_, act) in TRANSITIONS.items() if act is Act.PUBLISH] == [
        (State.NEW, Event.SEND),
        (State.DELAYED, Event.RESEND),
        (State.UNSENT, Event.SENDABLE),
    ]


def test_a_repeatable_call_is_not_given_up_because_a_channel_or_a_reply_queue_is_gone() -> None:
    for state in WAITING:
        for event in (Event.CHANNEL_GONE, Event.CONNECTED_AGAIN, Event.REPLY_QUEUE_GONE):
            assert TRANSITIONS[state, event][0] is not State.ENDED


def test_a_stream_that_has_begun_is_never_sent_again() -> None:
    for (before, event), (after, _) in TRANSITIONS.items():
        if before is State.STREAMING:
            assert after in (State.STREAMING, State.ENDED), event


def test_wherever_a_repeatable_call_is_it_can_come_to_be_out_again() -> None:
    """No state is a trap: from each one some events lead back to a queue, or end the call."""
    reached = set(OUT) | {State.ENDED}
    for _ in State:
        reached |= {
            before
            for (before, event), (after, _) in TRANSITIONS.items()
            if after in reached and event not in (Event.DEADLINE, Event.CALLER_GONE, Event.CLOSED)
        }
    assert set(LIVE) <= reached


# -- what is remembered ------------------------------------------------------------------------


def stepped(call: Pending, *events: Event, now: float = 7.0) -> Pending:
    """A call that met these events, as `CallTable.fire` has it meet them."""
    for event in events:
        after, act = TRANSITIONS[call.state, event]
        remember(call, event, act, now)
        call.state = after
    return call


def test_a_call_that_gets_its_reply_has_no_trouble() -> None:
    call = a_call()
    assert call.trouble is None
    assert (call.doubtful, call.resends, call.noticed_at) == (False, 0, 0.0)
    assert call.route is call.request.route


def test_a_notice_is_remembered_until_the_request_goes_out_again() -> None:
    call = stepped(a_call(idempotent=True), Event.WAITS)
    assert (call.noticed_at, call.ensure_trouble().begun) == (7.0, False)
    stepped(call, Event.RUNS, now=8.0)
    assert (call.noticed_at, call.ensure_trouble().begun) == (8.0, True)
    stepped(call, Event.CHANNEL_GONE, Event.SENDABLE_DOUBTFUL, now=9.0)
    assert call.trouble == Trouble(doubtful=True, resends=1, resent_at=9.0, had_by_server=True)


def test_a_question_whether_the_caller_waits_tells_that_a_server_has_the_call() -> None:
    assert stepped(a_call(), Event.CONFIRM).noticed_at == 7.0


def test_a_new_connection_makes_notices_doubtful_but_not_that_a_server_had_the_call() -> None:
    call = stepped(a_call(idempotent=True), Event.RUNS, Event.CONNECTED_AGAIN)
    assert call.trouble == Trouble(had_by_server=True, queried_at=7.0, cut_off=True)


def test_a_call_is_missing_since_the_servers_were_asked_for_it_on_a_new_connection() -> None:
    call = stepped(a_call(idempotent=True), Event.CONNECTED_AGAIN)
    stepped(call, Event.QUEUE_EMPTY, now=7.3)
    assert call.ensure_trouble().missing_since == 7.0
    late = stepped(a_call(idempotent=True), Event.CONNECTED_AGAIN)
    stepped(late, Event.QUEUE_EMPTY, now=9.0)  # meanwhile its request may have waited in the queue
    assert late.ensure_trouble().missing_since == 9.0


def test_a_request_that_came_back_keeps_its_notice_over_a_new_connection() -> None:
    call = stepped(a_call(idempotent=True), Event.RUNS, Event.EXPIRY, Event.CONNECTED_AGAIN)
    assert call.ensure_trouble().begun


def test_a_call_is_missing_until_a_server_says_that_it_has_it() -> None:
    call = stepped(a_call(idempotent=True), Event.QUEUE_EMPTY)
    assert call.ensure_trouble().missing_since == 7.0
    stepped(call, Event.RUNS, now=8.0)
    assert call.ensure_trouble().missing_since == 0.0
    stepped(call, Event.QUEUE_EMPTY, now=9.0)
    assert call.ensure_trouble().missing_since == 9.0
    assert stepped(a_call(idempotent=True), Event.QUEUE_GONE).ensure_trouble().missing_since == 7.0


def test_a_request_that_came_back_is_with_the_client_until_it_goes_out_again() -> None:
    call = stepped(a_call(), Event.NO_ROUTE)
    assert call.ensure_trouble().back_at == 7.0
    stepped(call, Event.QUEUE_RETURNS, Event.RESEND)
    assert call.trouble == Trouble()
    assert stepped(a_call(), Event.EXPIRY).ensure_trouble().back_at == 7.0


def test_a_call_in_doubt_stays_in_doubt() -> None:
    call = a_call(idempotent=True)
    call.doubt()
    assert (call.doubtful, call.resends) == (True, 0)
    stepped(call, Event.NO_ROUTE, Event.QUEUE_RETURNS, Event.RESEND)
    assert call.doubtful


@pytest.mark.parametrize("repeatable", [True, False])
def test_whatever_happens_a_second_copy_means_doubt_and_only_repeatable_calls_have_one(
    repeatable: bool,
) -> None:
    dice = random.Random(17)
    for _ in range(2_000):
        call = a_call(idempotent=repeatable)
        copies = 1  # that a server may have
        for number in itertools.count():
            events = [
                event
                for state, event in TRANSITIONS
                if state is call.state and (repeatable or event not in REPEATABLE_ONLY)
            ]
            if call.state is State.ENDED:
                break
            event = Event.DEADLINE if number > 40 else dice.choice(events)
            _, act = TRANSITIONS[call.state, event]
            copies += act is Act.PUBLISH_DOUBTFUL
            was_doubtful = call.doubtful
            stepped(call, event)
            assert call.doubtful >= was_doubtful
            assert (copies > 1) <= call.doubtful
            assert repeatable or copies == 1
            assert call.resends == copies - 1


def test_a_one_way_call_ends_with_the_confirm_of_a_request_that_is_out() -> None:
    for state in LIVE:
        after = TRANSITIONS[state, Event.TAKEN]
        if state is State.QUIET:
            assert after == (State.ENDED, Act.DELIVER_CONFIRM)
        else:
            assert after == (state, Act.NOTHING)
        assert TRANSITIONS[state, Event.SENDER_GONE] == (State.ENDED, Act.NOTHING)


def test_what_is_remembered_of_a_stage_does_not_count_at_the_next() -> None:
    call = a_pipe(idempotent=True)
    remember(call, Event.RUNS, Act.NOTHING, 103.0)
    call.request = call.request.stages[1]
    remember(call, Event.PASSED, Act.NOTHING, 105.0)
    trouble = call.ensure_trouble()
    assert (trouble.begun, trouble.had_by_server, trouble.noticed_at) == (False, False, 0.0)
    assert call.since == 105.0
    remember(call, Event.STILL_MISSING, Act.PUBLISH_DOUBTFUL, 107.0)
    assert (call.request.stage, call.since, call.doubtful) == (1, call.started, True)
