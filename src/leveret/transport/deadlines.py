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

_BUCKETS: Final = 4096
"""Above this many, the empty ones are looked for."""


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
        self._full = _BUCKETS
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
        if tick in buckets:
            buckets[tick] = {entry}
            return tick
        if len(self._order) >= self._full:
            self._drop_empty()
        self._buckets[tick] = {entry}
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

    def _drop_empty(self) -> None:
        """Long deadlines of short calls would else leave an empty bucket for every tick."""
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
                if not bucket:  # costs no wake-up of its own
                    del self._buckets[heapq.heappop(self._order)]
                elif tick * TICK <= now:
                    bucket.pop().expire()
                else:
                    break
        finally:  # also where an entry failed: the others must not wait for ever
            if self._order:
                self._arm()
