"""When a side of a stream speaks, and when it gives the other one up."""

from __future__ import annotations

from leveret.streaming import Due, Liveness


def said_until(end: float, step: float = 0.5) -> list[float]:
    """The moments at which a side speaks while nothing moves and the other side is there."""
    liveness = Liveness(0.0)
    moments: list[float] = []
    now = 0.0
    while now < end:
        liveness.heard(now)
        if liveness.due(now) is Due.SAY:
            liveness.said_again(now)
            moments.append(now)
        now += step
    return moments


def test_a_side_speaks_soon_and_then_ever_more_rarely_up_to_each_10_s() -> None:
    assert said_until(50) == [1, 3, 7, 15, 25, 35, 45]


def test_what_moves_begins_the_pauses_anew() -> None:
    liveness = Liveness(0.0)
    liveness.said_again(1.0)
    liveness.moved(2.0)

    assert liveness.due(2.9) is Due.NOTHING
    assert liveness.due(3.0) is Due.SAY


def test_a_side_that_says_nothing_for_30_s_is_given_up() -> None:
    liveness = Liveness(0.0)
    liveness.moved(29.5)

    assert liveness.due(29.9) is Due.NOTHING
    assert liveness.due(30.0) is Due.GIVE_UP
    liveness.heard(30.0)
    assert liveness.due(30.1) is Due.NOTHING
