"""For how long a stream tries to go on, and after which failures."""

from __future__ import annotations

import pytest

from leveret.backoff import LAST
from leveret.client.streams.going_on import PAUSES, GoingOn
from leveret.errors import Busy, CallError, InvalidArgument, StreamBroken

BROKEN = StreamBroken("its server is gone", method="feed.watch")


def test_the_first_attempt_is_made_at_once_and_the_next_ones_after_pauses() -> None:
    going_on = GoingOn()
    assert not going_on.is_under_way
    going_on.begin(100.0, timeout=10.0)
    assert going_on.is_under_way
    assert going_on.next_attempt(BROKEN, 100.0) == (0.0, 10.0)
    attempt = going_on.next_attempt(Busy("no place"), 101.0)
    assert attempt is not None
    pause, left = attempt
    assert 0 < pause <= PAUSES.most
    assert left == 9.0 - pause


def test_the_last_attempt_comes_shortly_before_its_end() -> None:
    going_on = GoingOn()
    going_on.begin(100.0, timeout=10.0)
    for _ in range(9):
        going_on.next_attempt(BROKEN, 100.0)
    pause, left = going_on.next_attempt(BROKEN, 109.5) or (0.0, 0.0)
    assert pause == pytest.approx(0.3)
    assert left == pytest.approx(LAST)
    assert going_on.next_attempt(BROKEN, 109.9) is None


@pytest.mark.parametrize(
    ("failure", "now"), [(BROKEN, 110.0), (InvalidArgument("no such feed"), 100.0)]
)
def test_it_ends_with_its_time_or_with_an_error_that_stays(failure: CallError, now: float) -> None:
    going_on = GoingOn()
    going_on.begin(100.0, timeout=10.0)
    assert going_on.next_attempt(failure, now) is None


def test_after_an_item_the_next_failure_has_all_the_time_again() -> None:
    going_on = GoingOn()
    going_on.begin(100.0, timeout=10.0)
    assert going_on.next_attempt(BROKEN, 109.0) == (0.0, 1.0)
    going_on.item_came()
    assert not going_on.is_under_way
    going_on.begin(120.0, timeout=10.0)
    assert going_on.next_attempt(BROKEN, 120.0) == (0.0, 10.0)
