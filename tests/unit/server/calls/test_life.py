"""The life of a call at a server: its tables, row by row and cell by cell, and its promises."""

from __future__ import annotations

import logging
from itertools import product
from typing import cast

import pytest

from leveret.server.calls.call_stream import CallStream
from leveret.server.calls.life import (
    ENDINGS,
    HOLDINGS,
    LIVE,
    TELLS,
    TRANSITIONS,
    WITH_TASK,
    Act,
    Answer,
    Ending,
    Event,
    Holding,
    HoldingEvent,
    Life,
    ServerCall,
    State,
    Stop,
    ending,
)
from leveret.wire.message import NoticeKind
from tests.unit.server.calls.cells import ENDING_CELLS, HOLDING_CELLS, TOLD, all_cells
from tests.unit.server.calls.making import call, key

S, E, A = State, Event, Act

ALL_CELLS = all_cells()

STOPS = {Stop.DEADLINE: E.DEADLINE, Stop.CALLER: E.CALLER_LEFT, Stop.DRAIN: E.DRAIN}

CELLS: dict[Stop, dict[State, tuple[State, Act]]] = {
    Stop.DEADLINE: {
        S.WAITING: (S.ENDED, A.FAIL),
        S.STARTED: (S.STARTED, A.ANSWER),
        S.CLAIMING: (S.CLAIMING, A.ANSWER_CANCEL),
        S.BEGUN: (S.BEGUN, A.ANSWER_CANCEL),
        S.RUNNING: (S.RUNNING, A.ANSWER_CANCEL),
        S.RECORDING: (S.RECORDING, A.ANSWER),
        S.PASSING: (S.PASSING, A.NONE),
    },
    Stop.CALLER: {
        S.ASKED: (S.ENDED, A.FAIL),
        S.WAITING: (S.ENDED, A.FAIL),
        S.STARTED: (S.STARTED, A.NONE),
        S.CLAIMING: (S.CLAIMING, A.CANCEL),
        S.BEGUN: (S.BEGUN, A.CANCEL),
        S.RUNNING: (S.RUNNING, A.CANCEL),
        S.RECORDING: (S.RECORDING, A.NONE),
        S.PASSING: (S.PASSING, A.NONE),
    },
    Stop.DRAIN: {
        S.ASKED: (S.ENDED, A.HAND_BACK),
        S.WAITING: (S.ENDED, A.HAND_BACK),
        S.STARTED: (S.STARTED, A.NONE),
        S.CLAIMING: (S.CLAIMING, A.CANCEL),
        S.BEGUN: (S.BEGUN, A.CANCEL),
        S.RUNNING: (S.RUNNING, A.CANCEL),
        S.RECORDING: (S.RECORDING, A.NONE),
        S.PASSING: (S.PASSING, A.NONE),
    },
}
"""What a stop does to a call, by where that is. A deadline never finds an ASKED call: until its
caller has answered, the timer is that of the question."""


class Clock:
    def __init__(self) -> None:
        self.now = 7.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def life() -> Life:
    return Life(Clock())


def at(state: State) -> ServerCall:
    """A call that is somewhere."""
    made = call()
    made.state = state
    return made


@pytest.mark.parametrize(("state", "event"), ALL_CELLS, ids=lambda it: it.value)
def test_every_cell_leads_where_it_says(life: Life, state: State, event: Event) -> None:
    moved = at(state)
    after, act = ALL_CELLS[state, event]
    assert life.fire(moved, event) is act
    assert moved.state is after
    assert moved.entered is (after is State.RUNNING)


@pytest.mark.parametrize(
    ("state", "event"),
    [pair for pair in product(State, Event) if pair not in ALL_CELLS],
    ids=lambda it: it.value,
)
def test_a_pair_without_a_row_is_logged_with_the_calls_id_and_does_nothing(
    life: Life, state: State, event: Event, caplog: pytest.LogCaptureFixture
) -> None:
    moved = at(state)
    with caplog.at_level(logging.ERROR, "leveret.server"):
        assert life.fire(moved, event) is Act.NONE
    assert moved.state is state
    assert f"{moved.method} (call {moved.id}) met {event.value!r}" in caplog.text


@pytest.mark.parametrize(
    ("why", "state"),
    [(why, state) for why in CELLS for state in CELLS[why]],
    ids=lambda it: it.value,
)
def test_every_stop_in_every_state_does_what_its_cell_says(
    life: Life, why: Stop, state: State
) -> None:
    stopped = at(state)
    after, act = CELLS[why][state]
    assert life.stop(stopped, why) is act
    assert (stopped.state, stopped.stop) == (after, why)


def test_the_cells_are_all_rows_of_stops() -> None:
    rows = {(s, e) for s, e in TRANSITIONS if e in STOPS.values()}
    assert rows == {(s, STOPS[why]) for why in CELLS for s in CELLS[why]}


@pytest.mark.parametrize("second", [Stop.DEADLINE, Stop.CALLER, Stop.DRAIN])
def test_the_first_reason_to_stop_wins(life: Life, second: Stop) -> None:
    stopped = at(State.RUNNING)
    life.stop(stopped, Stop.CALLER)
    assert life.stop(stopped, second) is Act.NONE
    assert stopped.stop is Stop.CALLER


def test_a_call_that_has_ended_cannot_be_stopped(life: Life) -> None:
    over = at(State.ENDED)
    assert life.stop(over, Stop.DRAIN) is Act.NONE
    assert over.stop is Stop.NONE


def test_every_call_can_end_and_none_goes_on_after_its_end() -> None:
    assert not [row for row in TRANSITIONS if row[0] is State.ENDED]
    reaches_the_end = {State.ENDED}
    while True:
        more = {s for (s, _), (after, _) in TRANSITIONS.items() if after in reaches_the_end}
        if more <= reaches_the_end:
            break
        reaches_the_end |= more
    assert reaches_the_end == set(State)


def test_a_handler_never_begins_twice() -> None:
    """The promise: the handler of a call that is not idempotent runs at most once."""
    ways = {(s, e) for (s, e), (after, _) in TRANSITIONS.items() if after is State.RUNNING}
    into = {(s, e) for s, e in ways if s is not State.RUNNING}
    assert into == {(State.STARTED, Event.ENTER), (State.BEGUN, Event.ENTER)}
    from_running = {
        after
        for (s, _), (after, _) in TRANSITIONS.items()
        if s in {S.RUNNING, S.RECORDING, S.PASSING}
    }
    assert from_running == {S.RUNNING, S.RECORDING, S.PASSING, S.ENDED}


def test_a_place_is_given_to_a_call_once() -> None:
    starts = {row for row, (_, act) in TRANSITIONS.items() if act is Act.START}
    assert starts == {(State.ARRIVED, Event.PLACE), (State.WAITING, Event.PLACE)}
    assert not any(
        after in {S.ARRIVED, S.ASKED, S.WAITING}
        for (s, _), (after, _) in TRANSITIONS.items()
        if s in WITH_TASK
    )


def test_what_was_not_begun_is_handed_back_by_a_drain_and_not_answered() -> None:
    assert TRANSITIONS[S.ASKED, E.DRAIN][1] is TRANSITIONS[S.WAITING, E.DRAIN][1] is A.HAND_BACK


def test_a_caller_is_answered_at_its_deadline_wherever_its_call_is() -> None:
    """But where its next stage is to have it: that has the same deadline."""
    answers = {A.FAIL, A.ANSWER, A.ANSWER_CANCEL}
    for state in {S.WAITING, *WITH_TASK} - {S.PASSING}:
        assert TRANSITIONS[state, E.DEADLINE][1] in answers


def test_a_task_that_has_not_begun_is_never_cancelled() -> None:
    """Asyncio would drop it without a word, and the call would never end."""
    cancels = {s for (s, _), (_, act) in TRANSITIONS.items() if act in {A.CANCEL, A.ANSWER_CANCEL}}
    assert cancels == {S.CLAIMING, S.BEGUN, S.RUNNING}


def test_a_redelivered_request_never_begins_a_second_task() -> None:
    for state in WITH_TASK:
        assert TRANSITIONS[state, E.REDELIVERED] == (state, A.NONE)


def test_a_call_is_named_by_its_reply_queue_and_its_id() -> None:
    named = call("x", tag=7)
    assert (named.id, named.key, named.tag) == ("x", key("x"), 7)


# -- the small machines ----------------------------------------------------------------------------


def test_the_tables_of_the_small_machines_have_these_cells() -> None:
    assert HOLDINGS == HOLDING_CELLS
    assert ENDINGS == ENDING_CELLS
    assert {state: told for told, states in TOLD.items() for state in states} == TELLS


@pytest.mark.parametrize(("holding", "what"), HOLDINGS)
def test_every_row_of_a_delivery_leads_where_it_says(
    life: Life, holding: Holding, what: HoldingEvent
) -> None:
    moved = call()
    moved.holding = holding
    assert life.move(moved, what)
    assert moved.holding is HOLDINGS[holding, what]


@pytest.mark.parametrize(
    ("holding", "what"),
    [pair for pair in product(Holding, HoldingEvent) if pair not in HOLDINGS],
)
def test_a_delivery_is_settled_once_and_by_who_has_it(
    life: Life, holding: Holding, what: HoldingEvent, caplog: pytest.LogCaptureFixture
) -> None:
    moved = call()
    moved.holding = holding
    assert not life.move(moved, what)
    assert moved.holding is holding
    assert f"the request of desk.work (call {moved.id}) is {holding.value!r}" in caplog.text


@pytest.mark.parametrize(("holding", "back", "answer"), ENDINGS)
@pytest.mark.parametrize("entered", [False, True])
@pytest.mark.parametrize("why", list(Stop))
def test_every_ending_is_one_of_its_table(
    holding: Holding, back: bool, answer: Answer, entered: bool, why: Stop
) -> None:
    over = call()
    over.holding, over.answer, over.entered, over.stop = holding, answer, entered, why
    found = ending(over, back=back)
    if why is Stop.DRAIN and holding is Holding.DETACHED:
        assert found is Ending.DROP
    elif ENDINGS[holding, back, answer] is Ending.HAND_BACK and entered:
        assert found is Ending.REQUEUE
    else:
        assert found is ENDINGS[holding, back, answer]


def test_what_had_begun_is_never_handed_back_as_if_it_had_not() -> None:
    over = call()
    over.entered = True
    assert ending(over, back=True) is Ending.REQUEUE


@pytest.mark.parametrize(("holding", "back", "answer"), ENDINGS)
def test_a_call_that_has_begun_to_stream_ends_with_its_streams(
    holding: Holding, back: bool, answer: Answer
) -> None:
    """Its request is acknowledged, so nothing becomes of that."""
    over = call()
    over.holding, over.answer = holding, answer
    over.stream = cast("CallStream", object())
    assert ending(over, back=back) is ENDINGS[holding, back, answer]
    over.entered = True
    assert ending(over, back=back) is Ending.STREAM


def test_nobody_is_answered_twice() -> None:
    for (_, _, answer), found in ENDINGS.items():
        if answer is Answer.GIVEN:
            assert found in {Ending.ANSWER, Ending.DROP}  # ANSWER sends what is owed, so nothing


def test_only_a_call_with_a_place_is_said_to_be_here() -> None:
    """A drain hands back the others, whose callers must be able to find that out."""
    assert {state for state, told in TELLS.items() if told is not None} == set(WITH_TASK)
    runs = {state for state, told in TELLS.items() if told is NoticeKind.RUNS}
    assert runs == {State.RUNNING, State.RECORDING, State.PASSING}
    assert set(TELLS) == set(State) == {*LIVE, State.ENDED}


# -- the hook --------------------------------------------------------------------------------------


def test_the_hook_sees_every_transition(life: Life) -> None:
    seen: list[tuple[str, State, Event, State, float]] = []
    life.on_transition = lambda call, before, event, after, now: seen.append(
        (call.id, before, event, after, now)
    )
    moved = call("x")
    life.fire(moved, Event.NO_PLACE)
    life.stop(moved, Stop.CALLER)
    assert seen == [
        ("x", State.ARRIVED, Event.NO_PLACE, State.WAITING, 7.0),
        ("x", State.WAITING, Event.CALLER_LEFT, State.ENDED, 7.0),
    ]
