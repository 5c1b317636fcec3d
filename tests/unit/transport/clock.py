"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from itertools import count
from typing import cast


class Timer:
    """A call that is due."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """An event loop as far as time is concerned (`loop`). It starts at 0 seconds."""

    def __init__(self) -> None:
        self._now = 0.0
        self._queue: list[tuple[float, int, Timer]] = []
        self._numbers = count()
        self.wake_ups = 0

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return cast(asyncio.AbstractEventLoop, self)

    def time(self) -> float:
        return self._now

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        timer = Timer(callback)
        heapq.heappush(self._queue, (when, next(self._numbers), timer))
        return timer

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        return self.call_at(self._now + delay, callback)

    def advance(self, seconds: float) -> None:
        """Let time pass, and make the calls that fall due, each at its time."""
        end = self._now + seconds
        while self._queue and self._queue[0][0] <= end:
            when, _, timer = heapq.heappop(self._queue)
            self._now = max(self._now, when)
            if not timer.cancelled:
                self.wake_ups += 1
                timer.callback()
        self._now = end

    @property
    def timers(self) -> int:
        """How many calls are due some time."""
        return sum(not timer.cancelled for _, _, timer in self._queue)
