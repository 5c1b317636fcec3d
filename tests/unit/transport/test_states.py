"""The tables of states: each event in each state, and where every state leads."""

from __future__ import annotations

from enum import Enum

import pytest

from leveret.transport.states import (
    CHANNEL,
    CONNECTION,
    ChannelEvent,
    ChannelState,
    ConnEvent,
    ConnState,
)

S, E = ConnState, ConnEvent
C, D = ChannelState, ChannelEvent


@pytest.mark.parametrize("state", ConnState)
@pytest.mark.parametrize("event", ConnEvent)
def test_a_connection_only_goes_forward(state: ConnState, event: ConnEvent) -> None:
    after = CONNECTION.get((state, event), state)
    assert after.value >= state.value


@pytest.mark.parametrize("state", ConnState)
def test_every_connection_can_end_and_stays_ended(state: ConnState) -> None:
    assert CONNECTION.get((state, E.ENDED), state) is S.CLOSED
    assert not [event for event in ConnEvent if (S.CLOSED, event) in CONNECTION]


def test_a_connection_takes_the_whole_course() -> None:
    state = S.GREETING
    course = []
    for event in (E.GREETED, E.GREETED, E.GREETED, E.AGREED, E.CLOSE_SENT, E.CLOSE_SENT, E.ENDED):
        state = CONNECTION.get((state, event), state)
        course.append(state)
    assert course == [S.TUNING] * 3 + [S.OPEN, S.CLOSING, S.CLOSING, S.CLOSED]


@pytest.mark.parametrize("state", [S.GREETING, S.TUNING])
def test_before_it_is_open_a_connection_says_no_goodbye(state: ConnState) -> None:
    assert (state, E.CLOSE_SENT) not in CONNECTION


@pytest.mark.parametrize(
    ("events", "free"),
    [
        pytest.param([D.ENDED], True, id="the broker closes it"),
        pytest.param([D.CLOSE_SENT], False, id="this side closes it"),
        pytest.param([D.CLOSE_SENT, D.CLOSE_OK], True, id="the broker agrees"),
        pytest.param([D.CLOSE_SENT, D.ENDED], False, id="both close it at once"),
        pytest.param([D.CLOSE_SENT, D.ENDED, D.CLOSE_OK], True, id="close-ok comes late"),
        pytest.param([D.CLOSE_OK], False, id="close-ok unasked"),
        pytest.param([D.CLOSE_SENT, D.ENDED, D.ENDED], False, id="ended twice"),
    ],
)
def test_a_channels_number_is_free_once_no_close_ok_is_due(
    events: list[ChannelEvent], free: bool
) -> None:
    state = C.OPEN
    for event in events:
        state = CHANNEL.get((state, event), state)
    assert (state is C.CLOSED) is free


def test_a_closed_channel_stays_closed() -> None:
    assert not [event for event in ChannelEvent if (C.CLOSED, event) in CHANNEL]


@pytest.mark.parametrize(
    ("states", "first", "table"),
    [(ConnState, S.GREETING, CONNECTION), (ChannelState, C.OPEN, CHANNEL)],
)
def test_every_state_is_reached(
    states: type[Enum], first: Enum, table: dict[tuple[Enum, Enum], Enum]
) -> None:
    assert {first, *table.values()} == set(states)
