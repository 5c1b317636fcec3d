"""One timer for thousands of deadlines.

Almost every call ends long before its deadline, so a timer of the event loop for each would be made
only to be cancelled. Here deadlines that fall into the same few milliseconds share a bucket, a call
leaves its bucket when it ends, and the loop holds one timer, for the earliest bucket.
"""

from __future__ import annotations

import asyncio
import heapq
from typing import Final, Protocol

TICK: Final = 0.004
"""How late an entry may fire, in seconds. Never early."""


class Expires(Protocol):
    """What a `Deadlines` holds."""

    def expire(self) -> None:
        """Called once, when the deadline has passed and nobody discarded the entry."""


class Deadlines:
    """Calls `entry.expire()` for each entry whose time has come."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buckets: dict[int, set[Expires] | None] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_tick = 0

    def add(self, when: float, entry: Expires) -> int:
        """Have `entry` expire at `when`, on the loop's clock; returns the bucket, for `discard`."""
        tick = int(when / TICK) + 1
        buckets = self._buckets
        bucket = buckets.get(tick)
        if bucket:
            bucket.add(entry)
            return tick
        known = tick in buckets
        buckets[tick] = {entry}
        if not known:
            heapq.heappush(self._order, tick)
            if self._timer is None or tick < self._timer_tick:
                self._arm()
        return tick

    def discard(self, tick: int, entry: Expires) -> None:
        """Forget an entry that ended in time. One that has expired already is no error."""
        bucket = self._buckets.get(tick)
        if bucket:
            bucket.discard(entry)
            if not bucket:
                self._buckets[tick] = None  # its set is not kept until the tick comes

    def close(self) -> None:
        """Drop all entries without expiring them."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._buckets.clear()
        self._order.clear()

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
        order = self._order
        while order and order[0] * TICK <= now + 1e-6:
            for entry in self._buckets.pop(heapq.heappop(order)) or ():
                entry.expire()
        # An empty bucket costs no wake-up of its own.
        while order and not self._buckets[order[0]]:
            del self._buckets[heapq.heappop(order)]
        if order and self._timer is None:
            self._arm()
