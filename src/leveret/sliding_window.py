"""What happened of late: the latest values with their percentiles, or how often each thing did."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from math import ceil
from typing import Final

_SLICES: Final = 10
"""How finely the time of `RecentCounts` moves on."""


class SlidingWindow:
    """Keeps the latest values.

    `add` takes one value. It is a method in C, since it is called for each call.

    :param size: how many values are kept.
    :param enough: how many there must be before they are said to mean anything.
    :param sort_every: after how many new values the percentiles are computed anew.
    """

    def __init__(self, size: int, *, enough: int = 1, sort_every: int = 1) -> None:
        self._fresh: deque[float] = deque(maxlen=size)
        self._values: deque[float] = deque(maxlen=size)
        self._sorted: list[float] = []
        self._enough = enough
        self._sort_every = sort_every
        self.add: Callable[[float], None] = self._fresh.append

    def __len__(self) -> int:
        return min(len(self._values) + len(self._fresh), self._values.maxlen or 0)

    def percentile(self, percent: float) -> float | None:
        """The value that `percent` of 100 values do not exceed; None before there are enough.

        It may be up to `sort_every` values old.
        """
        if len(self._fresh) >= self._sort_every or not self._sorted:
            if len(self) < self._enough:
                return None
            self._values.extend(self._fresh)
            self._fresh.clear()
            self._sorted = sorted(self._values)
        if not self._sorted:
            return None
        return self._sorted[max(ceil(percent / 100 * len(self._sorted)) - 1, 0)]


class RecentCounts:
    """Counts what happened within the last seconds, by name.

    It keeps a count for each tenth of that time, so what happened is forgotten up to a tenth early.

    :param seconds: for how long something counts.
    """

    def __init__(self, seconds: float) -> None:
        self._slice = seconds / _SLICES
        self._slices: deque[tuple[float, Counter[str]]] = deque()

    def add(self, now: float, name: str) -> None:
        """It happened once more, at `now` on a clock that goes on steadily."""
        if not self._slices or now - self._slices[-1][0] >= self._slice:
            self._slices.append((now, Counter()))
            self._drop_old(now)
        self._slices[-1][1][name] += 1

    def counts(self, now: float) -> Counter[str]:
        """How often each happened."""
        self._drop_old(now)
        counts: Counter[str] = Counter()
        for _, counted in self._slices:
            counts.update(counted)
        return counts

    def _drop_old(self, now: float) -> None:
        while self._slices and now - self._slices[0][0] > self._slice * _SLICES:
            self._slices.popleft()
