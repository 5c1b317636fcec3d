"""Which requests are begun: those that can be finished in time. The test holds the clock."""

from __future__ import annotations

import random

import pytest

from leveret import DeadlineExceeded
from leveret.server.load.admission import ENOUGH, WINDOW, Admission

NOW = 1_000_000.0


def measured(*lengths: float, now: float = NOW) -> Admission:
    """One that has seen calls of these lengths; a negative one was cut off."""
    admission = Admission()
    for length in lengths:
        if length < 0:
            admission.record_cut_off(-length)
        else:
            admission.record(length)
    admission.judge(now)
    return admission


def refused(admission: Admission, remaining: float, budget: float, now: float = NOW) -> bool:
    try:
        admission.check(remaining, budget, now)
    except DeadlineExceeded as error:
        return (error.where, error.executed) == ("queue", "no")
    return False


def test_what_is_past_its_deadline_is_refused_from_the_first_request_on() -> None:
    assert refused(Admission(), 0.0, 1)
    assert refused(Admission(), -3.0, 1)
    assert not refused(Admission(), 0.001, 1)


def test_nothing_else_is_refused_before_enough_calls_were_measured() -> None:
    assert not refused(measured(*[0.5] * (ENOUGH - 1)), 0.01, 1)
    assert refused(measured(*[0.5] * ENOUGH), 0.01, 1)


def test_what_is_shorter_than_the_fastest_call_is_refused_however_fresh_it_is() -> None:
    admission = measured(*[0.02] * 50)
    assert refused(admission, 0.019, 0.019)
    assert not refused(admission, 0.021, 0.021)


def test_a_request_that_waited_long_needs_the_usual_time() -> None:
    admission = measured(*[0.01] * 60, *[0.05] * 40)
    assert admission.usual == pytest.approx(0.05, rel=0.3)
    assert refused(admission, 0.04, 1)
    assert not refused(admission, 0.07, 1)


def test_a_request_that_has_more_than_half_of_its_time_is_not_held_to_the_usual() -> None:
    admission = measured(*[0.01] * 60, *[0.05] * 40)
    assert not refused(admission, 0.02, 0.03)


def test_calls_that_are_cut_off_make_the_usual_time_longer_and_not_the_fastest() -> None:
    admission = measured(*[0.01] * 50, *[-0.1] * 50)
    assert admission.fastest == 0.01
    assert admission.usual > 0.1


def test_a_method_whose_calls_were_all_cut_off_is_still_begun() -> None:
    admission = measured(*[-1.0] * WINDOW)
    assert not refused(admission, 0.6, 1)
    assert refused(admission, 0.4, 1)  # it waited for most of its time


def test_a_method_of_which_some_calls_are_fast_does_not_starve() -> None:
    rng = random.Random(1)
    admission = measured(*(rng.choice([0.001, 2.0]) for _ in range(WINDOW)))
    assert not refused(admission, 0.05, 0.05)
    assert not refused(admission, 0.3, 0.5)


def test_what_was_measured_long_ago_refuses_nothing() -> None:
    admission = measured(*[0.4] * 50)
    assert refused(admission, 0.3, 0.3, NOW + 1)
    assert not refused(admission, 0.3, 0.3, NOW + 60)
    admission.record(0.4)  # the one that was begun to see: it is as slow as before
    assert refused(admission, 0.3, 0.3, NOW + 61)


def test_a_handler_that_became_faster_is_soon_believed() -> None:
    admission = measured(*[0.4] * 50)
    for _ in range(WINDOW):
        admission.record(0.01)
    assert admission.judge(NOW + 1) == pytest.approx(0.012)
    assert not refused(admission, 0.3, 0.3, NOW + 1)


def test_only_what_may_be_refused_need_be_checked() -> None:
    admission = measured(*[0.01] * 60, *[0.05] * 40)
    assert admission.judge(NOW) == admission.usual
    assert not refused(admission, admission.usual, 1000)


def test_an_error_tells_what_was_left_and_what_is_needed() -> None:
    with pytest.raises(DeadlineExceeded, match=r"5 ms of 500 ms; .* took 20 ms at the least"):
        measured(*[0.02] * 50).check(0.005, 0.5, NOW)


def test_many_refused_requests_are_an_overload_for_a_while() -> None:
    admission = Admission()
    assert not admission.overloaded(NOW)
    for _ in range(20):
        refused(admission, 0, 1, NOW)
    assert admission.overloaded(NOW + 1)
    assert not admission.overloaded(NOW + 10)


def test_under_overload_a_quarter_of_the_time_must_be_left() -> None:
    admission = measured(*[0.01] * 50)
    assert not refused(admission, 0.2, 1)
    for _ in range(20):
        refused(admission, 0.001, 1)
    assert admission.judge(NOW) == float("inf")  # each is to be checked
    assert refused(admission, 0.2, 1)
    assert not refused(admission, 0.3, 1)
    assert not refused(admission, 0.02, 0.04)


def test_a_refused_request_now_and_then_is_no_overload() -> None:
    admission = Admission()
    for second in range(100):
        refused(admission, 0, 1, NOW + second)
    assert not admission.overloaded(NOW + 100)
