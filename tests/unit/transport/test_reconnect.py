"""`Reconnect`: its pauses, and what a user may give for it."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from leveret.errors import InvalidArgument
from leveret.transport.reconnect import NEVER, Reconnect, as_reconnect


def test_pauses_are_random_below_a_limit_that_doubles() -> None:
    policy = Reconnect(first=0.1, most=3.0)
    for attempt, limit in [(1, 0.1), (2, 0.2), (3, 0.4), (6, 3.0), (10_000, 3.0)]:
        pauses = [policy.pause(attempt) for _ in range(500)]
        assert 0 <= min(pauses) < 0.1 * limit
        assert 0.9 * limit < max(pauses) <= limit


@pytest.mark.parametrize(
    "wrong",
    [
        *({"first": value} for value in (0, -1, nan, inf, True, "1", None, 10**400)),
        *({"most": value} for value in (0, nan, True, "1", None, 10**400)),
        *({"attempts": value} for value in (-1, 2.5, nan, inf, True, "3")),
        {"first": 5, "most": 3},
    ],
    ids=lambda wrong: f"{wrong!r:.40}",
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(wrong))):
        Reconnect(**wrong)


def test_a_pause_may_grow_without_end() -> None:
    assert Reconnect(most=inf, attempts=None).pause(3) <= 0.4


def test_true_and_false_stand_for_the_default_and_for_never() -> None:
    mine = Reconnect(first=1)
    assert as_reconnect(mine) is mine
    assert as_reconnect(True) == Reconnect()
    assert as_reconnect(False) is NEVER
    assert NEVER.attempts == 0


@pytest.mark.parametrize("wrong", [None, 1, 0, "yes", {"first": 1}])
def test_anything_else_is_refused(wrong: object) -> None:
    with pytest.raises(InvalidArgument, match="leveret.Reconnect"):
        as_reconnect(wrong)
