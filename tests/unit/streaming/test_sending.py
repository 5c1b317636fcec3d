"""The sending half of a stream: each pair of its table, its bounds, and what it sends again."""

from __future__ import annotations

import pytest

from leveret.streaming import SendingHalf
from leveret.streaming.credit import Credit
from leveret.streaming.sending import MOST_KEPT, MOST_SIZE, TRANSITIONS, Event, State

S, E = State, Event

CELLS = {
    S.OPEN: {E.ITEM: S.OPEN, E.SOME: S.OPEN, E.END: S.ENDED, E.BACK: S.OPEN, E.LEFT: S.DONE},
    S.ENDED: {E.SOME: S.ENDED, E.ALL: S.DONE, E.BACK: S.OPEN, E.LEFT: S.DONE},
    S.DONE: dict.fromkeys((E.SOME, E.ALL, E.BACK, E.LEFT), S.DONE),
}
"""By state and event: the state after it. What is missing is a mistake of the caller."""


def credit(got: int, upto: int = 100, size: int = 10_000, *, again: bool = False) -> Credit:
    return Credit(got=got, upto=upto, size=size, again=again)


def half_in(state: State) -> SendingHalf[bytes]:
    """A half that has sent three items of one byte, in a state."""
    half: SendingHalf[bytes] = SendingHalf(upto=100, size=10_000)
    for frames in (b"1", b"2", b"3"):
        half.add(frames, 1)
    if state is not State.OPEN:
        half.end(b"end")
    if state is State.DONE:
        half.credit(credit(4))
    assert half.state is state
    return half


def do(half: SendingHalf[bytes], event: Event) -> None:
    match event:
        case Event.ITEM:
            half.add(b"4", 1)
        case Event.END:
            half.end(b"end")
        case Event.SOME:
            half.credit(credit(2))
        case Event.ALL:
            half.credit(credit(4))
        case Event.BACK:
            half.take_back(lambda frames: frames == b"3")
        case Event.LEFT:
            half.leave()


def test_the_table_has_these_cells_also_those_that_nobody_looks_up() -> None:
    cells = {(state, event): cell for state, row in CELLS.items() for event, cell in row.items()}
    assert cells == TRANSITIONS


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_each_event_makes_of_each_state_what_its_cell_says(state: State, event: Event) -> None:
    half = half_in(state)
    if event in CELLS[state]:
        do(half, event)
        assert half.state is CELLS[state][event]
    else:
        with pytest.raises((KeyError, ValueError)):
            do(half, event)
        assert half.state is state


def test_what_is_taken_back_was_never_added() -> None:
    half = half_in(State.ENDED)
    half.credit(credit(1))
    assert not half.take_back(lambda frames: frames == b"1")  # which the receiver has
    assert half.take_back(lambda frames: frames in (b"2", b"3"))
    assert (half.state, half.number, half.unacknowledged()) == (State.OPEN, 1, [])
    half.end(b"error")
    assert half.unacknowledged() == [b"error"]
    half.credit(credit(2))
    assert half.state is State.DONE


def test_nothing_may_be_sent_before_the_first_credit() -> None:
    half: SendingHalf[bytes] = SendingHalf()

    assert not half.may_send
    half.credit(credit(0, upto=1, size=1))
    assert half.may_send
    half.add(b"1", 1)
    assert not half.may_send


def test_the_last_item_may_go_beyond_the_bytes_of_the_window() -> None:
    half: SendingHalf[bytes] = SendingHalf(upto=10, size=100)
    half.add(b"1", 99)

    assert half.may_send
    half.add(b"2", 5000)
    assert not half.may_send
    half.credit(credit(2, upto=10, size=5100))
    assert half.may_send


def test_what_is_acknowledged_is_not_kept() -> None:
    half = half_in(State.OPEN)

    half.credit(credit(2))

    assert (half.got, half.kept, half.unacknowledged()) == (2, 1, [b"3"])


def test_the_end_is_kept_until_it_is_acknowledged() -> None:
    half = half_in(State.ENDED)

    assert half.credit(credit(3, again=True)) == [b"end"]
    assert half.state is State.ENDED
    assert half.credit(credit(4)) == []
    assert (half.state, half.kept) == (State.DONE, 0)


def test_all_after_the_highest_number_that_came_is_sent_again() -> None:
    half = half_in(State.OPEN)

    assert half.credit(credit(1, again=True)) == [b"2", b"3"]


def test_a_message_of_several_items_is_kept_until_all_of_them_came() -> None:
    half: SendingHalf[bytes] = SendingHalf(upto=10, size=100)
    half.add(b"1", 1)
    for _ in range(3):
        half.count(2)
    half.keep(b"2 to 4", 6, 3)

    assert (half.number, half.size) == (4, 7)
    assert half.credit(credit(3, again=True)) == [b"2 to 4"]
    half.end(b"end")
    assert half.credit(credit(4, again=True)) == [b"end"]
    assert half.credit(credit(5)) == []
    assert half.state is State.DONE


def test_a_credit_that_was_overtaken_changes_nothing() -> None:
    half: SendingHalf[bytes] = SendingHalf(upto=10, size=100)
    half.add(b"1", 1)
    half.add(b"2", 1)
    half.credit(credit(2, upto=50, size=500))

    assert half.credit(credit(1, upto=40, size=400, again=True)) == []
    assert half.got == 2
    half.add(b"3", 497)
    assert half.may_send
    half.add(b"4", 1)
    assert not half.may_send


@pytest.mark.parametrize("state", [State.OPEN, State.ENDED])
def test_a_receiver_that_has_what_was_never_sent_is_refused(state: State) -> None:
    half = half_in(state)

    with pytest.raises(ValueError, match="were sent"):
        half.credit(credit(5))

    assert half.got == 0
    assert half.kept


def test_a_receiver_that_grants_without_end_is_bounded_by_what_it_acknowledges() -> None:
    many: SendingHalf[bytes] = SendingHalf()
    large: SendingHalf[bytes] = SendingHalf()
    for half in (many, large):
        half.credit(credit(0, upto=2**62, size=2**62))

    while many.may_send:
        many.add(b"", 1)
    while large.may_send:
        large.add(b"", 1_000_000)

    assert many.kept == MOST_KEPT
    assert MOST_SIZE <= large.size < MOST_SIZE + 1_000_000
    many.credit(credit(1, upto=2**62, size=2**62))
    assert many.may_send


def test_nothing_is_kept_for_nobody() -> None:
    half = half_in(State.OPEN)

    half.leave()

    assert (half.state, half.unacknowledged()) == (State.DONE, [])
