"""The latest values of something that is measured again and again, and their percentiles."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import ceil


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
