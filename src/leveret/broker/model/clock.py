"""One clock for the whole broker: what is due when, run by whoever knows the time.

Nothing here waits. The server asks `next_deadline` and calls `tick`; a test just ticks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final

_FEW: Final = 64
"""So many timers are never worth sweeping."""


class Timer:
    """Something to be done at a time; `cancel` it when it need not be."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget it."""
        self.callback = None


class Clock:
    """The time, in monotonic seconds, and what is to be done when.

    `now` is read once for all that one read of a socket causes. `wall` is the calendar's time, in
    seconds since 1970, which only x-death tells.
    """

    def __init__(self, now: float = 0.0, wall: Callable[[], float] = time.time) -> None:
        self.now = now
        self.wall = wall
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0
        self._sweep_at = _FEW

    def at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back at the first tick that is not before `when`."""
        timer = Timer(when, callback)
        self._count += 1
        if len(self._heap) >= self._sweep_at:
            self._sweep()
        heappush(self._heap, (when, self._count, timer))
        return timer

    def _sweep(self) -> None:
        """Forget what was cancelled: what is due before it may be long in coming."""
        self._heap = [item for item in self._heap if item[2].callback is not None]
        heapify(self._heap)
        self._sweep_at = max(_FEW, 2 * len(self._heap))

    @property
    def timers(self) -> int:
        """How many it holds, some of which may have been cancelled."""
        return len(self._heap)

    def next_deadline(self) -> float | None:
        """When something is due next."""
        heap = self._heap
        while heap and heap[0][2].callback is None:
            heappop(heap)
        return heap[0][0] if heap else None

    def tick(self, now: float) -> None:
        """It is `now`: do all that is due."""
        self.now = now
        while self._heap and self._heap[0][0] <= now:
            callback = heappop(self._heap)[2].callback
            if callback is not None:
                callback()
