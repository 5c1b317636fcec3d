"""One timer of the event loop for thousands of deadlines.

Almost every call ends long before its deadline, so a timer of the event loop for each call would
nearly always be made only to be cancelled. Here all deadlines within the same `TICK` share a
bucket, a call leaves its bucket when it ends, and the loop holds one timer, for the earliest
bucket.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

E = TypeVar("E", bound=Hashable)

TICK: Final = 0.004
"""How late an entry may fire, in seconds. Never early."""

_BUCKETS: Final = 4096
"""Above this many buckets, the empty ones are dropped."""


class Deadlines(Generic[E]):
    """Calls `on_expire(entry)` once for each entry whose deadline passes before it is discarded."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_expire: Callable[[E], None]) -> None:
        self._loop = loop
        self._on_expire = on_expire
        self._buckets: dict[int, dict[E, None] | None] = {}
        self._order: list[int] = []
        self._full = _BUCKETS
        self._timer: asyncio.TimerHandle | None = None
        self._timer_tick = 0

    def add(self, when: float, entry: E) -> int:
        """Let `entry` expire at `when`, in seconds on the loop's clock, or up to a `TICK` later.

        Returns the number of its bucket, which `discard` needs.
        """
        tick = int(when / TICK) + 1
        buckets = self._buckets
        bucket = buckets.get(tick)
        if bucket:
            bucket[entry] = None
            return tick
        if tick in buckets:
            buckets[tick] = {entry: None}
            return tick
        if len(self._order) >= self._full:
            self._drop_empty()
        self._buckets[tick] = {entry: None}
        heapq.heappush(self._order, tick)
        if self._timer is None or tick < self._timer_tick:
            self._arm()
        return tick

    def discard(self, tick: int, entry: E) -> None:
        """Remove an entry that ended in time. Does nothing if the entry has expired already."""
        bucket = self._buckets.get(tick)
        if bucket:
            bucket.pop(entry, None)
            if not bucket:
                self._buckets[tick] = None  # frees it now, not when its tick comes

    def close(self) -> None:
        """Drop all entries without expiring them."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._buckets.clear()
        self._order.clear()

    def _drop_empty(self) -> None:
        """Drop the empty buckets. Short calls with long deadlines leave one for every tick."""
        self._buckets = {tick: bucket for tick, bucket in self._buckets.items() if bucket}
        self._order = sorted(self._buckets)
        self._full = max(_BUCKETS, 2 * len(self._order))

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._buckets.values() if bucket)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_tick = self._order[0]
        self._timer = self._loop.call_at(self._timer_tick * TICK, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = self._loop.time()
        try:
            # One at a time: an entry that expires may add others, discard them, or close all.
            while self._order:
                tick = self._order[0]
                bucket = self._buckets[tick]
                if not bucket:  # an empty bucket never wakes the loop by itself
                    del self._buckets[heapq.heappop(self._order)]
                elif tick * TICK <= now:
                    self._on_expire(bucket.popitem()[0])
                else:
                    break
        finally:  # `on_expire` may raise; the other entries must still expire
            if self._order:
                self._arm()
