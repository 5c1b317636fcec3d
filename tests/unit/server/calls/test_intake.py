"""What becomes of a request that was just delivered."""

from __future__ import annotations

from typing import Any

import pytest

from leveret.server.calls.intake import (
    MAX_REDELIVERIES,
    Decision,
    decide,
    doubt,
    gave_up,
    may_be_copied,
    times_delivered,
)
from tests.unit.server.calls.making import SPECS, request

ONCE, AGAIN, COUNTED = SPECS["work"], SPECS["again"], SPECS["counted"]
AT_MOST = MAX_REDELIVERIES


def attempt(count: int) -> dict[str, Any]:
    return {"headers": {"attempt": count}}


def counted(count: int) -> dict[str, Any]:
    return {"headers": {"x-delivery-count": count}}


@pytest.mark.parametrize(
    ("what", "spec", "seconds", "known", "answered", "draining", "wanted"),
    [
        ({}, ONCE, 5, False, False, False, Decision.JUDGE),
        ({}, ONCE, 5, False, False, True, Decision.HAND_BACK),
        ({"redelivered": True}, ONCE, 5, True, True, False, Decision.GO_ON),
        ({"redelivered": True}, ONCE, 5, True, False, True, Decision.GO_ON),
        ({"redelivered": True}, ONCE, 5, False, True, False, Decision.REPEAT),
        ({"redelivered": True}, ONCE, 5, False, False, False, Decision.JUDGE),
        ({"redelivered": True}, ONCE, 5, False, False, True, Decision.HAND_BACK),
        ({"redelivered": True}, AGAIN, 5, False, False, False, Decision.COUNT_UP),
        ({"redelivered": True}, AGAIN, 5, False, False, True, Decision.COUNT_UP),
        ({"redelivered": True}, AGAIN, 0, False, False, False, Decision.JUDGE),
        ({"redelivered": True, "body": None}, AGAIN, 5, False, False, False, Decision.JUDGE),
        (
            {"redelivered": True, **attempt(AT_MOST - 1)},
            AGAIN,
            5,
            False,
            False,
            False,
            Decision.COUNT_UP,
        ),
        (
            {"redelivered": True, **attempt(AT_MOST)},
            AGAIN,
            5,
            False,
            False,
            False,
            Decision.GIVE_UP,
        ),
        (
            {"redelivered": True, **counted(AT_MOST)},
            AGAIN,
            5,
            False,
            False,
            False,
            Decision.COUNT_UP,
        ),
        (
            {"redelivered": True, **counted(AT_MOST)},
            COUNTED,
            5,
            False,
            False,
            False,
            Decision.JUDGE,
        ),
        (
            {"redelivered": True, **counted(AT_MOST + 1)},
            COUNTED,
            5,
            False,
            False,
            False,
            Decision.GIVE_UP,
        ),
    ],
)
def test_one_delivery_has_one_decision(
    what: Any,
    spec: Any,
    seconds: float,
    known: bool,
    answered: bool,
    draining: bool,
    wanted: Decision,
) -> None:
    found = decide(
        request(**what), spec, seconds, known=known, answered=answered, draining=draining
    )
    assert found is wanted


def test_only_a_quorum_queues_own_count_is_believed() -> None:
    made_up = request(redelivered=True, headers={"x-delivery-count": 99, "attempt": 2})
    assert times_delivered(made_up, AGAIN) == (3, False)
    assert times_delivered(made_up, COUNTED) == (99, True)
    assert times_delivered(request(redelivered=True), COUNTED) == (1, False)


def test_what_may_have_run_is_run_again_only_where_that_does_no_harm() -> None:
    again = request(redelivered=True)
    error = doubt(again, ONCE, has_key=False)
    assert error is not None
    assert error.executed == "maybe"
    assert doubt(again, ONCE, has_key=True) is None
    assert doubt(again, AGAIN, has_key=False) is None
    assert doubt(request(), ONCE, has_key=False) is None


def test_a_copy_must_not_hide_that_its_original_was_delivered_before() -> None:
    assert may_be_copied(request(), ONCE, 1, confirmed=True)
    assert may_be_copied(request(redelivered=True), AGAIN, 1, confirmed=True)
    assert not may_be_copied(request(redelivered=True), ONCE, 1, confirmed=True)
    assert not may_be_copied(request(), ONCE, 0, confirmed=True)
    assert not may_be_copied(request(body=None), ONCE, 1, confirmed=True)


def test_what_may_run_twice_is_not_copied_where_the_copy_is_not_confirmed() -> None:
    assert not may_be_copied(request(), AGAIN, 1, confirmed=False)
    assert may_be_copied(request(reply_to=None), AGAIN, 1, confirmed=False)
    assert may_be_copied(request(), ONCE, 1, confirmed=False)


@pytest.mark.parametrize(
    ("times", "text"), [(1, "taken once by"), (6, "taken 6 times, each time by")]
)
def test_a_request_that_is_given_up_tells_how_often_it_was_taken(times: int, text: str) -> None:
    assert text in str(gave_up(times))
    assert gave_up(times).executed == "maybe"
