"""What is measured reaches the admission and the limiter, and the places follow the limit."""

from __future__ import annotations

from leveret import Adaptive
from leveret.server.load.adaptive import AdaptiveMeasures
from leveret.server.load.limiter import Limiter


class Measures:
    def __init__(self) -> None:
        self.told: list[tuple[str, float]] = []

    def record(self, seconds: float) -> None:
        self.told.append(("ended", seconds))

    def record_cut_off(self, seconds: float) -> None:
        self.told.append(("cut off", seconds))


class Places:
    taken = 5

    def __init__(self) -> None:
        self.limits: list[int] = []

    def resize(self, limit: int) -> None:
        self.limits.append(limit)


def test_what_is_measured_is_passed_on_and_the_places_follow_the_limit() -> None:
    now = 0.0
    measures, places = Measures(), Places()
    limiter = Limiter(Adaptive(start=5, most=100), 100)
    adaptive = AdaptiveMeasures(measures, limiter, places, lambda: now)
    for _ in range(40):
        now += 0.1
        adaptive.record(0.01)
    adaptive.record_cut_off(0.5)
    assert measures.told[-2:] == [("ended", 0.01), ("cut off", 0.5)]
    assert len(places.limits) == 41
    assert places.limits[-1] == limiter.limit > 5
