"""The latest values and their percentiles."""

from __future__ import annotations

import pytest

from leveret.sliding_window import RecentCounts, SlidingWindow


def window(*values: float, size: int = 100, enough: int = 1, sort_every: int = 1) -> SlidingWindow:
    found = SlidingWindow(size, enough=enough, sort_every=sort_every)
    for value in values:
        found.add(value)
    return found


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 2), (75, 3), (76, 4), (100, 4)])
def test_a_percentile_is_what_that_many_do_not_exceed(percent: float, value: float) -> None:
    assert window(3, 1, 4, 2).percentile(percent) == value


def test_too_few_values_mean_nothing() -> None:
    few = window(1, 2, enough=3)
    assert few.percentile(50) is None
    few.add(3)
    assert few.percentile(50) == 2


def test_an_empty_window_has_no_percentile() -> None:
    assert window().percentile(50) is None
    assert len(window()) == 0


def test_old_values_leave() -> None:
    found = window(*range(10), size=3)
    assert len(found) == 3
    assert found.percentile(0) == 7
    found.add(10)
    assert found.percentile(0) == 8
    assert len(found) == 3


def test_percentiles_are_computed_anew_after_so_many_values() -> None:
    found = window(1, 1, sort_every=3)
    assert found.percentile(100) == 1
    found.add(5)
    found.add(5)
    assert found.percentile(100) == 1
    found.add(5)
    assert found.percentile(100) == 5


def test_what_happened_is_counted_by_name_for_so_many_seconds() -> None:
    recent = RecentCounts(10.0)
    assert recent.counts(100.0) == {}
    recent.add(100.0, "well")
    recent.add(100.5, "failed")
    recent.add(105.0, "failed")
    assert recent.counts(110.0) == {"well": 1, "failed": 2}
    assert recent.counts(110.5) == {"failed": 1}  # those of a tenth are forgotten together
    assert recent.counts(116.0) == {}


def test_counts_that_are_given_away_are_not_those_that_are_kept() -> None:
    recent = RecentCounts(10.0)
    recent.add(100.0, "well")
    recent.counts(100.0).clear()
    assert recent.counts(100.0) == {"well": 1}


def test_counts_take_no_more_room_the_longer_they_go_on() -> None:
    recent = RecentCounts(10.0)
    for n in range(1000):
        recent.add(100.0 + n, "well")
        assert recent.counts(100.0 + n).total() <= 11
