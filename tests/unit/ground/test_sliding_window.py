"""The latest values and their percentiles."""

from __future__ import annotations

import pytest

from leveret.sliding_window import SlidingWindow


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
