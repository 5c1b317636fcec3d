"""Pauses grow up to a limit, and jitter takes off no more than its share."""

from __future__ import annotations

import pytest

from leveret.backoff import LAST, Backoff


def test_a_pause_doubles_up_to_the_longest() -> None:
    backoff = Backoff(first=0.2, most=3.0)
    assert [backoff.pause(attempt) for attempt in range(1, 7)] == [0.2, 0.4, 0.8, 1.6, 3.0, 3.0]


def test_a_pause_grows_by_its_factor() -> None:
    backoff = Backoff(first=1.0, most=10.0, growth=1.5)
    assert [backoff.pause(attempt) for attempt in (1, 2, 3)] == [1.0, 1.5, 2.25]


def test_the_millionth_attempt_pauses_as_long_as_the_longest() -> None:
    assert Backoff(first=0.1, most=30.0).pause(1_000_000) == 30.0


@pytest.mark.parametrize(("jitter", "least"), [(0.0, 2.0), (0.5, 1.0), (1.0, 0.0)])
def test_jitter_takes_off_its_share_at_most(jitter: float, least: float) -> None:
    backoff = Backoff(first=2.0, most=2.0, jitter=jitter)
    assert backoff.pause(1, lambda: 1.0) == 2.0
    assert backoff.pause(1, lambda: 0.0) == least
    assert all(least <= backoff.pause(1) <= 2.0 for _ in range(100))


def test_the_last_attempt_comes_shortly_before_the_end() -> None:
    backoff = Backoff(first=1.0, most=1.0)
    assert backoff.pause_within(1, left=5.0) == 1.0
    assert backoff.pause_within(1, left=0.75 + LAST) == pytest.approx(0.75)
    assert backoff.pause_within(1, left=LAST) is None
