"""The receiving half of a stream: each pair of its table, and what it says to the sender."""

from __future__ import annotations

import pytest

from leveret.streaming import ReceivingHalf
from leveret.streaming.credit import WINDOW_BYTES, Credit
from leveret.streaming.receiving import TRANSITIONS, Act, Event, State

S, E, A = State, Event, Act

CELLS = {
    S.WHOLE: {
        E.NEXT: (S.WHOLE, A.TAKE),
        E.BEHIND: (S.WHOLE, A.DROP),
        E.AHEAD: (S.GAPPED, A.ASK),
        E.END: (S.ENDED, A.FINISH),
        E.END_BEHIND: (S.BROKEN, A.BREAK),
    },
    S.GAPPED: {
        E.NEXT: (S.WHOLE, A.TAKE),
        E.BEHIND: (S.GAPPED, A.DROP),
        E.AHEAD: (S.GAPPED, A.DROP),
        E.END: (S.ENDED, A.FINISH),
        E.END_BEHIND: (S.BROKEN, A.BREAK),
    },
    S.ENDED: {
        E.NEXT: (S.ENDED, A.DROP),
        E.BEHIND: (S.ENDED, A.DROP),
        E.AHEAD: (S.ENDED, A.DROP),
        E.END: (S.ENDED, A.ACKNOWLEDGE),
        E.END_BEHIND: (S.ENDED, A.DROP),
    },
    S.BROKEN: dict.fromkeys(E, (S.BROKEN, A.DROP)),
}
"""By state and event: the state after it, and the act."""


def half_in(state: State) -> ReceivingHalf:
    """A half that has items 1 to 3, in a state."""
    half = ReceivingHalf()
    for number in (1, 2, 3):
        assert half.item(number) is Act.TAKE
    match state:
        case State.GAPPED:
            assert half.item(5) is Act.ASK
        case State.ENDED:
            assert half.end(3) is Act.FINISH
        case State.BROKEN:
            assert half.end(2) is Act.BREAK
    assert half.state is state
    return half


def bring(half: ReceivingHalf, event: Event) -> Act:
    """Let something come to a half that has items 1 to 3."""
    match event:
        case Event.NEXT:
            return half.item(4)
        case Event.BEHIND:
            return half.item(3)
        case Event.AHEAD:
            return half.item(6)
        case Event.END:
            return half.end(3)
        case Event.END_BEHIND:
            return half.end(1)


def test_the_table_has_these_cells_also_those_that_nobody_looks_up() -> None:
    cells = {(state, event): cell for state, row in CELLS.items() for event, cell in row.items()}
    assert cells == TRANSITIONS


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_each_event_makes_of_each_state_what_its_cell_says(state: State, event: Event) -> None:
    half = half_in(state)

    act = bring(half, event)

    assert (half.state, act) == CELLS[state][event]
    assert half.got == (4 if act is Act.TAKE else 3)


def test_an_end_and_a_sign_of_life_tell_of_a_gap_as_an_item_does() -> None:
    ends, signs = half_in(State.WHOLE), half_in(State.WHOLE)

    assert ends.end(4) is Act.ASK
    assert signs.sign(4) is Act.ASK
    assert signs.sign(3) is Act.DROP
    assert half_in(State.WHOLE).sign(3) is Act.DROP


def test_a_gap_is_asked_for_once_and_with_each_credit_until_it_is_filled() -> None:
    half = half_in(State.WHOLE)

    assert [half.item(5), half.item(6)] == [Act.ASK, Act.DROP]
    assert half.credit(1.0) == Credit(got=3, upto=256, size=WINDOW_BYTES, again=True)
    assert [half.item(4), half.item(5), half.item(6)] == [Act.TAKE] * 3
    assert half.credit(1.0) == Credit(got=6, upto=256, size=WINDOW_BYTES)


def test_credit_is_due_when_half_of_the_items_are_taken() -> None:
    half = ReceivingHalf(items=4, size=1000)
    for number in range(1, 5):
        half.item(number)

    assert [half.took(1), half.took(1)] == [False, True]
    assert half.credit(1.0) == Credit(got=4, upto=6, size=1002)
    assert [half.took(1), half.took(1)] == [False, True]


def test_of_several_items_in_one_message_those_are_taken_that_did_not_come() -> None:
    half = ReceivingHalf()

    assert half.items(1, 3) == (Act.TAKE, 0)
    assert half.items(2, 2) == (Act.DROP, 0)
    assert half.items(2, 4) == (Act.TAKE, 2)
    assert (half.got, half.state) == (5, State.WHOLE)
    assert half.items(8, 2) == (Act.ASK, 0)
    assert half.items(4, 4) == (Act.TAKE, 2)
    assert (half.got, half.state) == (7, State.WHOLE)
    assert half.end(7) is Act.FINISH
    assert half.items(7, 2) == (Act.DROP, 1)
    assert half.got == 7


def test_credit_is_due_when_a_quarter_of_the_bytes_is_taken() -> None:
    half = ReceivingHalf(items=100, size=1000)
    for number in range(1, 4):
        half.item(number)

    assert [half.took(100), half.took(100), half.took(100)] == [False, False, True]
    assert half.credit(1.0) == Credit(got=3, upto=103, size=1300)


def window_after(half: ReceivingHalf, size: int, now: float) -> int:
    """The window in bytes that is given once the consumer took so many more."""
    half.item(half.got + 1)
    assert half.took(size)
    return half.credit(now).size - half.taken_size


def test_a_consumer_that_takes_its_window_quickly_is_given_up_to_seven_times_as_much() -> None:
    half = ReceivingHalf(items=100, size=1000)
    assert window_after(half, 250, now=10.0) == 1000  # nothing is known of it yet
    assert window_after(half, 250, now=10.01) == 2000
    assert window_after(half, 500, now=10.03) == 4000
    assert window_after(half, 1000, now=10.07) == 7000
    assert window_after(half, 1750, now=10.13) == 7000
    assert window_after(half, 1750, now=10.2) == 7000


def test_how_quick_a_consumer_is_goes_by_its_bytes_per_second() -> None:
    half = ReceivingHalf(items=100, size=1000)
    assert window_after(half, 250, now=10.0) == 1000
    assert window_after(half, 250, now=10.01) == 2000
    assert window_after(half, 500, now=10.03) == 4000
    assert window_after(half, 1000, now=10.2) == 3000  # of what it was told before, the rest


def test_a_consumer_that_becomes_slow_is_given_no_more_before_it_has_taken_the_rest() -> None:
    half = ReceivingHalf(items=100, size=1000)
    for now in (10.0, 10.01, 10.02):
        half.item(half.got + 1)
        half.took(1000)
        given = half.credit(now).size
    half.item(half.got + 1)
    assert half.took(1000)
    assert half.credit(20.0).size == given
    half.item(half.got + 1)
    assert not half.took(2249)
    half.item(half.got + 1)
    assert half.took(1)
    assert half.credit(30.0).size == half.taken_size + 1000 == given + 250


def test_credit_that_is_said_again_widens_no_window() -> None:
    half = ReceivingHalf(items=100, size=1000)
    assert window_after(half, 500, now=10.0) == 1000
    assert [half.credit(10.0).size, half.credit(10.01).size] == [1500, 1500]


def test_a_window_of_one_item_is_topped_up_with_each() -> None:
    half = ReceivingHalf(items=1, size=1)
    half.item(1)

    assert half.took(10_000)
    assert half.credit(1.0) == Credit(got=1, upto=2, size=10_001)


def test_the_end_is_acknowledged_as_one_number_more_and_needs_no_more_credit() -> None:
    half = half_in(State.ENDED)

    assert half.credit(1.0, again=True).got == 4
    assert not half.credit(1.0, again=True).again
    assert not any(half.took(WINDOW_BYTES) for _ in range(3))


def test_who_was_cut_off_says_what_it_has_and_asks_for_the_rest() -> None:
    assert half_in(State.WHOLE).credit(1.0, again=True) == Credit(
        got=3, upto=256, size=WINDOW_BYTES, again=True
    )
