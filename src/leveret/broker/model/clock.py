"""The clock of a broker, and its timers. Pure.

Nothing here waits. Whoever knows the time asks for `next_deadline` and calls `tick`; a test only
calls `tick`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final

_SWEEP_ABOVE: Final = 64
"""Number of timers above which cancelled ones are swept out."""


class Timer:
    """A callback that is due at a time, unless it is cancelled."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Do not call back."""
        self.callback = None


class Clock:
    """The time, and the timers.

    :param now: monotonic seconds; set once for all that one read of a socket causes.
    :param wall: gives the time of day in seconds since 1970, which only x-death needs.
    """

    def __init__(self, now: float = 0.0, wall: Callable[[], float] = time.time) -> None:
        self.now = now
        self.wall = wall
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0
        self._sweep_at = _SWEEP_ABOVE

    def at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back at the first tick at or after `when`, in monotonic seconds."""
        timer = Timer(when, callback)
        self._count += 1
        if len(self._heap) >= self._sweep_at:
            self._sweep()
        heappush(self._heap, (when, self._count, timer))
        return timer

    def _sweep(self) -> None:
        """Remove cancelled timers; those at the head may be due only much later."""
        self._heap = [item for item in self._heap if item[2].callback is not None]
        heapify(self._heap)
        self._sweep_at = max(_SWEEP_ABOVE, 2 * len(self._heap))

    @property
    def timers(self) -> int:
        """How many timers it holds, including some that were cancelled."""
        return len(self._heap)

    def next_deadline(self) -> float | None:
        """When the next timer is due, in monotonic seconds; None if there is none."""
        heap = self._heap
        while heap and heap[0][2].callback is None:
            heappop(heap)
        return heap[0][0] if heap else None

    def tick(self, now: float) -> None:
        """Set the time and call back all that is due."""
        self.now = now
        while self._heap and self._heap[0][0] <= now:
            callback = heappop(self._heap)[2].callback
            if callback is not None:
                callback()
