from __future__ import annotations

from itertools import product

import pytest

from leveret.broker.session.states import TRANSITIONS, SessionEvent, SessionState

ORDER = list(SessionState)


@pytest.mark.parametrize("state", SessionState)
@pytest.mark.parametrize("event", [SessionEvent.FAILED, SessionEvent.ENDED])
def test_any_session_can_fail_and_end(state: SessionState, event: SessionEvent) -> None:
    assert (state, event) in TRANSITIONS


def test_a_session_never_goes_back() -> None:
    for (state, _), after in TRANSITIONS.items():
        assert ORDER.index(after) > ORDER.index(state) or after is state is SessionState.CLOSED


def test_a_session_opens_by_its_header_and_its_handshake_alone() -> None:
    opens = [pair for pair, after in TRANSITIONS.items() if after is SessionState.OPEN]
    assert opens == [(SessionState.HANDSHAKE, SessionEvent.ADMITTED)]
    begins = [pair for pair, after in TRANSITIONS.items() if after is SessionState.HANDSHAKE]
    assert begins == [(SessionState.HEADER, SessionEvent.GREETED)]


def test_who_is_told_twice_is_hung_up_on() -> None:
    state = SessionState.OPEN
    for event in (SessionEvent.FAILED, SessionEvent.FAILED):
        state = TRANSITIONS[state, event]
    assert state is SessionState.CLOSED


def test_all_other_pairs_are_bugs() -> None:
    once = {
        SessionEvent.GREETED: SessionState.HEADER,
        SessionEvent.ADMITTED: SessionState.HANDSHAKE,
    }
    for state, event in product(SessionState, once):
        assert ((state, event) in TRANSITIONS) is (state is once[event])
